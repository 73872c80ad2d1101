//! `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::outbox::{Outbox, Rows};
use crate::process::exit::{CommandError, Exit};
use crate::telemetry::metrics::{Watched, outbox_text, prometheus_text};

const DEFAULT: &str = "127.0.0.1:8080";

/// How much longer than its wait a poll may stay open.
const MARGIN: Duration = Duration::from_secs(20);

/// For how long polls may fail before the worker is not ready. A deployment must not go on to the next node while this one
/// cannot reach its queue, and a short outage must not mark all nodes.
const MOST_FAILING: Duration = Duration::from_secs(180);

/// How long requests that are under way have to end at the stop.
const MOST_FOR_REQUESTS: Duration = Duration::from_secs(5);

/// How long a look at the metrics waits for the outbox.
const MOST_FOR_OUTBOX: Duration = Duration::from_secs(2);

/// The endpoint, served until this is dropped.
pub(crate) struct Health {
    pub address: SocketAddr,
    serving: AbortOnDropHandle<()>,
    ends: CancellationToken,
}

impl Health {
    /// Accepts no more requests, and waits for those that are under way.
    pub(crate) async fn end(self) {
        self.ends.cancel();
        if tokio::time::timeout(MOST_FOR_REQUESTS, self.serving).await.is_err() {
            tracing::warn!("a request did not end in time");
        }
    }
}

/// Serves health and metrics. An address that `HTTP_ADDR` names must be free. Without `HTTP_ADDR`, the app works
/// without the endpoint if the default port is busy.
pub(crate) async fn serve(
    asked: Option<&str>,
    watched: Vec<Watched>,
    outbox: Option<Outbox>,
    routes: Option<Router>,
    stop: CancellationToken,
) -> Result<Option<Health>, CommandError> {
    let address: SocketAddr = asked.unwrap_or(DEFAULT).parse().map_err(|_| {
        let message = format!("HTTP_ADDR is `{}`, not an address", asked.unwrap_or_default());
        CommandError::new(Exit::Configuration, message, "write it as 127.0.0.1:8080 or 0.0.0.0:8080")
    })?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if asked.is_none() && routes.is_none() => {
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
    let ends = CancellationToken::new();
    let ended = ends.clone();
    let served = tokio::spawn(async move {
        let router = router(watched, outbox, stop);
        let router = match routes {
            Some(routes) => router.fallback_service(routes),
            None => router,
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(ended.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the health endpoint ended");
        }
    });
    Ok(Some(Health { address, serving: AbortOnDropHandle::new(served), ends }))
}

fn router(watched: Vec<Watched>, outbox: Option<Outbox>, stop: CancellationToken) -> Router {
    let watched: Arc<[Watched]> = watched.into();
    let (live, ready, shown) = (watched.clone(), watched.clone(), watched);
    let outbox = outbox.map(Arc::new);
    Router::new()
        .route("/livez", get(move || async move { answer(is_live(&live), "a poll hangs") }))
        .route(
            "/readyz",
            get(move || async move {
                if stop.is_cancelled() || !ready.iter().all(|queue| queue.monitor.has_polled()) {
                    return answer(false, "not polling");
                }
                let is_cut_off = ready.iter().any(|queue| queue.monitor.is_cut_off(MOST_FAILING));
                answer(!is_cut_off, "polls fail")
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let mut text = prometheus_text(&shown);
                if let Some(outbox) = &outbox {
                    text.push_str(&outbox_text(rows(outbox).await));
                }
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            }),
        )
}

/// What is in the outbox, if the database answers in time: a look at the metrics must not wait for it.
async fn rows(outbox: &Outbox) -> Option<(i64, i64, f64)> {
    let read = tokio::time::timeout(MOST_FOR_OUTBOX, outbox.rows()).await;
    match read.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
        Ok(Rows { waiting, parked, oldest_seconds }) => Some((waiting, parked, oldest_seconds)),
        Err(reason) => {
            tracing::warn!(reason, "the outbox could not be counted for the metrics");
            None
        }
    }
}

pub(crate) fn is_live(watched: &[Watched]) -> bool {
    watched.iter().all(|queue| queue.monitor.is_alive(queue.wait + MARGIN))
}

fn answer(is_well: bool, why_not: &'static str) -> impl IntoResponse {
    if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, why_not) }
}
