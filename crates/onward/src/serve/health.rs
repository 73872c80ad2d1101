//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::serve::metrics::Metrics;
use crate::telemetry::metrics::Watched;
use crate::telemetry::prometheus;

/// How much longer than its wait a poll may stay open.
const MARGIN: Duration = Duration::from_secs(20);

/// For how long polls may fail before the worker is not ready. A deployment must not go on to the next node while this one
/// cannot reach its queue, and a short outage must not mark all nodes.
const MOST_FAILING: Duration = Duration::from_secs(180);

/// `stop` is cancelled when the app stops: it is not ready from then on.
pub(super) fn routes(metrics: Metrics, stop: CancellationToken) -> Router {
    let live: Arc<[Watched]> = metrics.watched.clone().into();
    let (ready, metrics) = (live.clone(), Arc::new(metrics));
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
                ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], metrics.text().await)
            }),
        )
}

pub(crate) fn is_live(watched: &[Watched]) -> bool {
    watched.iter().all(|queue| queue.monitor.is_alive(queue.wait + MARGIN))
}

fn answer(is_well: bool, why_not: &'static str) -> impl IntoResponse {
    if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, why_not) }
}
