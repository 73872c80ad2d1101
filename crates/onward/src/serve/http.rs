//! The endpoint on `HTTP_ADDR`: health, metrics, the console, and the app's own routes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::process::exit::{CommandError, Exit};

const DEFAULT: &str = "127.0.0.1:8080";

/// How long a client may take for the header of a request. The time begins when the server waits for one, so it is also how long an idle
/// connection stays open: longer than the minute for which load balancers keep theirs.
const MOST_FOR_HEADER: Duration = Duration::from_secs(75);

/// How long requests that are under way have to end at the stop.
const MOST_FOR_REQUESTS: Duration = Duration::from_secs(5);

/// An address that is open and answers nothing yet.
pub(super) struct Endpoint {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Endpoint {
    /// Opens the address. One that `HTTP_ADDR` names must be free, and so must the default one where it `is_needed`. Else the app works
    /// without the endpoint if the default port is busy.
    pub(super) async fn open(asked: Option<&str>, is_needed: bool) -> Result<Option<Self>, CommandError> {
        let address = address(asked)?;
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) if asked.is_none() && !is_needed => {
                tracing::warn!(%error, %address, "the health endpoint is not served: set HTTP_ADDR to a free address");
                return Ok(None);
            }
            Err(error) => {
                let message = format!("HTTP_ADDR {address} cannot be opened: {error}");
                return Err(CommandError::new(
                    Exit::Configuration,
                    message,
                    "choose a free address, or end the process that uses it",
                ));
            }
        };
        let address = listener.local_addr().map_err(CommandError::fault)?;
        tracing::info!(%address, "health and metrics");
        Ok(Some(Self { address, listener }))
    }

    /// Answers with these routes.
    pub(super) fn serve(self, routes: Router) -> Http {
        let ends = CancellationToken::new();
        let serving = tokio::spawn(answer(self.listener, routes, ends.clone()));
        Http { serving: AbortOnDropHandle::new(serving), ends }
    }
}

/// The address that `HTTP_ADDR` names, or the default.
pub(super) fn address(asked: Option<&str>) -> Result<SocketAddr, CommandError> {
    asked.unwrap_or(DEFAULT).parse().map_err(|_| {
        let message = format!("HTTP_ADDR is `{}`, not an address", asked.unwrap_or_default());
        CommandError::new(Exit::Configuration, message, "write it as 127.0.0.1:8080 or 0.0.0.0:8080")
    })
}

/// Answers each connection until the end, and then waits for the requests that are under way. `axum::serve` gives no way to cut off a
/// request whose header never ends.
async fn answer(mut listener: TcpListener, routes: Router, ends: CancellationToken) {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(MOST_FOR_HEADER);
    let open = GracefulShutdown::new();
    // This way of accepting waits where the process has no more file descriptors.
    while let Some((stream, peer)) = ends.run_until_cancelled(Listener::accept(&mut listener)).await {
        let service = TowerToHyperService::new(routes.clone().layer(Extension(ConnectInfo(peer))));
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = open.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// The endpoint, served until this is dropped.
pub(super) struct Http {
    serving: AbortOnDropHandle<()>,
    ends: CancellationToken,
}

impl Http {
    /// Accepts no more requests, and waits for those that are under way.
    pub(super) async fn end(self) {
        self.ends.cancel();
        if tokio::time::timeout(MOST_FOR_REQUESTS, self.serving).await.is_err() {
            tracing::warn!("a request did not end in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let ends = CancellationToken::new();
        let routes = Router::new().route("/", get(async || "hello"));
        let serving = tokio::spawn(answer(listener, routes, ends.clone()));
        let mut client = TcpStream::connect(address).await.expect("answers");
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.expect("is open");
        let mut answered = Vec::new();
        client.read_to_end(&mut answered).await.expect("the server ends the connection");
        ends.cancel();
        serving.await.expect("ends");
    }
}
