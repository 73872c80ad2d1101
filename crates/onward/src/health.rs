//! `/livez`, `/readyz` and `/metrics`, for whatever watches the process.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use onward_worker::Monitor;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::exit::{Exit, Failed};
use crate::settings::Settings;

const DEFAULT: &str = "127.0.0.1:8080";

/// How much longer than its wait a poll may be open.
const MARGIN: Duration = Duration::from_secs(20);

/// One queue that is worked.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub queue: &'static str,
    pub monitor: Monitor,
    pub wait: Duration,
}

/// Serves until it is dropped. An address that was asked for must be free; where none was, a busy port is no reason not
/// to work.
pub(crate) async fn serve(
    settings: &Settings,
    watched: Vec<Watched>,
    stop: CancellationToken,
) -> Result<Option<AbortOnDropHandle<()>>, Failed> {
    let asked = settings.http_addr.as_deref();
    let address: SocketAddr = asked.unwrap_or(DEFAULT).parse().map_err(|_| {
        let message = format!("HTTP_ADDR is `{}`", asked.unwrap_or_default());
        Failed::new(Exit::Configuration, message, "write it as 127.0.0.1:8080 or 0.0.0.0:8080")
    })?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if asked.is_none() => {
            tracing::warn!(%error, %address, "no health endpoint: set HTTP_ADDR to a free address");
            return Ok(None);
        }
        Err(error) => {
            let message = format!("HTTP_ADDR {address} cannot be opened: {error}");
            return Err(Failed::new(Exit::Configuration, message, "choose a free one, or end what uses it"));
        }
    };
    tracing::info!(%address, "health and metrics");
    let served = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(watched, stop)).await {
            tracing::error!(%error, "the health endpoint ended");
        }
    });
    Ok(Some(AbortOnDropHandle::new(served)))
}

fn router(watched: Vec<Watched>, stop: CancellationToken) -> Router {
    let watched: Arc<[Watched]> = watched.into();
    let (live, ready, shown) = (watched.clone(), watched.clone(), watched);
    Router::new()
        .route("/livez", get(move || async move { answer(is_live(&live), "a poll hangs") }))
        .route(
            "/readyz",
            get(move || async move {
                let polls = ready.iter().all(|queue| queue.monitor.has_polled());
                answer(polls && !stop.is_cancelled(), "not polling")
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics(&shown))
            }),
        )
}

pub(crate) fn is_live(watched: &[Watched]) -> bool {
    watched.iter().all(|queue| queue.monitor.is_alive(queue.wait + MARGIN))
}

fn answer(is_well: bool, why_not: &'static str) -> impl IntoResponse {
    if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, why_not) }
}

/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
fn metrics(watched: &[Watched]) -> String {
    let ledgers: Vec<_> = watched.iter().map(|queue| (queue.queue, queue.monitor.ledger())).collect();
    let mut text = String::new();
    let mut family = |name: &str, help: &str, label: &str, values: Vec<(&str, &str, f64)>| {
        write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n").expect("a String takes every write");
        for (queue, value, number) in values {
            let more = if label.is_empty() { String::new() } else { format!(",{label}=\"{value}\"") };
            writeln!(text, "{name}{{queue=\"{queue}\"{more}}} {number}").expect("a String takes every write");
        }
    };
    let each = |of: fn(&onward_worker::Ledger) -> Vec<(&'static str, f64)>| {
        let all =
            ledgers.iter().flat_map(|(queue, ledger)| of(ledger).into_iter().map(|(l, n)| (*queue, l, n)));
        all.collect::<Vec<_>>()
    };
    family(
        "onward_messages_total",
        "Messages by what became of them.",
        "outcome",
        each(|ledger| {
            let counts = [
                ("received", ledger.received),
                ("redelivered", ledger.redelivered),
                ("done", ledger.done),
                ("retried", ledger.retried),
                ("rejected", ledger.rejected),
                ("released", ledger.released),
                ("abandoned", ledger.abandoned),
                ("undeleted", ledger.undeleted),
            ];
            counts.map(|(outcome, count)| (outcome, count as f64)).to_vec()
        }),
    );
    family(
        "onward_sqs_calls_total",
        "Calls that SQS bills, by kind.",
        "call",
        each(|ledger| {
            let counts = [
                ("receive", ledger.receive_calls),
                ("delete", ledger.delete_calls),
                ("visibility", ledger.visibility_calls),
                ("send", ledger.send_calls),
            ];
            counts.map(|(call, count)| (call, count as f64)).to_vec()
        }),
    );
    let empty = each(|ledger| vec![("", ledger.empty_receives as f64)]);
    family("onward_sqs_empty_receives_total", "Receives that brought nothing.", "", empty);
    let pauses = each(|ledger| vec![("", ledger.pauses as f64)]);
    family("onward_pauses_total", "How often polling stopped because everything failed.", "", pauses);
    let failed = each(|ledger| vec![("", ledger.failed_calls as f64)]);
    family("onward_sqs_failed_calls_total", "Calls that failed.", "", failed);
    let dollars = each(|ledger| vec![("", ledger.dollars())]);
    family("onward_sqs_dollars_total", "What the calls cost at list price.", "", dollars);
    text
}
