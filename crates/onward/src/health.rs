//! `/livez`, `/readyz` and `/metrics`, for whatever watches the process.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use onward_worker::{Ledger, Monitor};
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

/// Counters of every queue under one name.
pub(crate) struct Family {
    /// In OpenTelemetry's form; Prometheus' is `onward_messages_total` for `onward.messages`.
    /// <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>
    pub name: &'static str,
    pub help: &'static str,
    /// What tells its values apart.
    pub label: Option<&'static str>,
    pub values: fn(&Ledger) -> Vec<(&'static str, f64)>,
}

pub(crate) const FAMILIES: [Family; 6] = [
    Family {
        name: "onward.messages",
        help: "Messages by what became of them.",
        label: Some("outcome"),
        values: |ledger| {
            counts([
                ("received", ledger.received),
                ("redelivered", ledger.redelivered),
                ("done", ledger.done),
                ("retried", ledger.retried),
                ("rejected", ledger.rejected),
                ("released", ledger.released),
                ("abandoned", ledger.abandoned),
                ("undeleted", ledger.undeleted),
            ])
        },
    },
    Family {
        name: "onward.sqs.calls",
        help: "Calls that SQS bills, by kind.",
        label: Some("call"),
        values: |ledger| {
            counts([
                ("receive", ledger.receive_calls),
                ("delete", ledger.delete_calls),
                ("visibility", ledger.visibility_calls),
                ("send", ledger.send_calls),
            ])
        },
    },
    Family {
        name: "onward.sqs.empty_receives",
        help: "Receives that brought nothing.",
        label: None,
        values: |ledger| counts([("", ledger.empty_receives)]),
    },
    Family {
        name: "onward.pauses",
        help: "How often polling stopped because everything failed.",
        label: None,
        values: |ledger| counts([("", ledger.pauses)]),
    },
    Family {
        name: "onward.sqs.failed_calls",
        help: "Calls that failed.",
        label: None,
        values: |ledger| counts([("", ledger.failed_calls)]),
    },
    Family {
        name: "onward.sqs.dollars",
        help: "What the calls cost at list price.",
        label: None,
        values: |ledger| vec![("", ledger.dollars())],
    },
];

fn counts<const N: usize>(counts: [(&'static str, u64); N]) -> Vec<(&'static str, f64)> {
    counts.map(|(value, count)| (value, count as f64)).to_vec()
}

/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
fn metrics(watched: &[Watched]) -> String {
    let mut text = String::new();
    for Family { name, help, label, values } in &FAMILIES {
        let name = format!("{}_total", name.replace('.', "_"));
        write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n").expect("a String takes every write");
        for Watched { queue, monitor, .. } in watched {
            for (value, number) in values(&monitor.ledger()) {
                let more = label.map(|label| format!(",{label}=\"{value}\"")).unwrap_or_default();
                writeln!(text, "{name}{{queue=\"{queue}\"{more}}} {number}")
                    .expect("a String takes every write");
            }
        }
    }
    text
}
