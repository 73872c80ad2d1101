use std::net::{Ipv4Addr, SocketAddr};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::error::Error;

/// An HTTP server on a loopback port; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Loopback {
    task: JoinHandle<()>,
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Binds `port`, or the next free one among the hundred after it; 0 takes any free port.
pub(crate) async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let last = if port == 0 { 0 } else { port.saturating_add(100) };
    let mut reason = None;
    for port in port..=last {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                let address = listener.local_addr().map_err(|error| unbound(port, &error))?;
                return Ok((listener, address));
            }
            Err(error) => reason = Some(error),
        }
    }
    let reason = reason.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(unbound(port, &reason))
}

fn unbound(port: u16, reason: &std::io::Error) -> Error {
    let message = format!("cannot open a loopback port from {port} on: {reason}");
    Error::new(message, "stop the programs that use these ports, or set QUEUE_URL to a queue of your own")
}

/// Serves each connection in a task of its own.
pub(crate) fn serve<S, B>(listener: TcpListener, service: S) -> Loopback
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a local connection was not accepted");
                    continue;
                }
            };
            let service = service.clone();
            connections.spawn(async move {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY cannot be set, so small answers may be late");
                }
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a local connection ended");
                }
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Loopback { task }
}
