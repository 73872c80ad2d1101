use std::fmt::Write as _;
use std::time::Duration;

use onward_worker::{Ledger, Monitor};

/// A queue that the app works, for the health check and the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub queue: &'static str,
    pub monitor: Monitor,
    pub wait: Duration,
}

/// Counters of every queue under one name.
pub(crate) struct Family {
    /// The name in OpenTelemetry. In Prometheus `onward.messages` becomes `onward_messages_total`.
    /// <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>
    pub name: &'static str,
    pub help: &'static str,
    /// The label that distinguishes the values.
    pub label: Option<&'static str>,
    pub values: fn(&Ledger) -> Vec<(&'static str, f64)>,
}

pub(crate) const FAMILIES: [Family; 6] = [
    Family {
        name: "onward.messages",
        help: "Messages by outcome.",
        label: Some("outcome"),
        values: |ledger| {
            counts([
                ("received", ledger.received),
                ("redelivered", ledger.redelivered),
                ("done", ledger.done),
                ("retried", ledger.retried),
                ("rejected", ledger.rejected),
                ("given_up", ledger.given_up),
                ("renewed", ledger.renewed),
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
                ("send", ledger.send_calls + ledger.renewed),
            ])
        },
    },
    Family {
        name: "onward.sqs.empty_receives",
        help: "Receives that returned no message.",
        label: None,
        values: |ledger| counts([("", ledger.empty_receives)]),
    },
    Family {
        name: "onward.pauses",
        help: "How often polling stopped because every message failed and no more could wait.",
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
        help: "What the calls cost at list price, in US dollars.",
        label: None,
        values: |ledger| vec![("", ledger.dollars())],
    },
];

fn counts<const N: usize>(counts: [(&'static str, u64); N]) -> Vec<(&'static str, f64)> {
    counts.map(|(value, count)| (value, count as f64)).to_vec()
}

/// The counters in the text format of Prometheus.
/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
pub(crate) fn prometheus_text(watched: &[Watched]) -> String {
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

/// The rows of the outbox in the same format; unknown where the table could not be read.
pub(crate) fn outbox_text(rows: Option<(i64, i64, f64)>) -> String {
    let mut text = "# HELP onward_outbox_up Whether the table of the outbox could be read.\n# TYPE onward_outbox_up gauge\n".to_owned();
    let mut line =
        |name: &str, value: f64| writeln!(text, "{name} {value}").expect("a String takes every write");
    line("onward_outbox_up", if rows.is_some() { 1.0 } else { 0.0 });
    let Some((waiting, parked, oldest_seconds)) = rows else { return text };
    text.push_str(
        "# HELP onward_outbox_rows Rows of the outbox by state; a parked one can never be sent as it is.\n",
    );
    text.push_str("# TYPE onward_outbox_rows gauge\n");
    for (state, rows) in [("waiting", waiting), ("parked", parked)] {
        writeln!(text, "onward_outbox_rows{{state=\"{state}\"}} {rows}").expect("a String takes every write");
    }
    text.push_str(
        "# HELP onward_outbox_oldest_seconds How long ago the oldest row that waits was written.\n",
    );
    writeln!(
        text,
        "# TYPE onward_outbox_oldest_seconds gauge\nonward_outbox_oldest_seconds {oldest_seconds}"
    )
    .expect("a String takes every write");
    text
}
