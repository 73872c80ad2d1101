//! The endpoint on `HTTP_ADDR`: health, metrics, the console, and the app's own routes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::process::exit::{CommandError, Exit};

const DEFAULT: &str = "127.0.0.1:8080";

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
        let address: SocketAddr = asked.unwrap_or(DEFAULT).parse().map_err(|_| {
            let message = format!("HTTP_ADDR is `{}`, not an address", asked.unwrap_or_default());
            CommandError::new(Exit::Configuration, message, "write it as 127.0.0.1:8080 or 0.0.0.0:8080")
        })?;
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
        let ended = ends.clone();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let serving = axum::serve(self.listener, service).with_graceful_shutdown(ended.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the health endpoint ended");
            }
        });
        Http { serving: AbortOnDropHandle::new(serving), ends }
    }
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
