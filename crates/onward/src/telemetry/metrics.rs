use std::time::Duration;

use onward_worker::{Activity, Ledger, Monitor, Receiving};

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

/// Gauges of every queue under one name.
pub(crate) struct Gauge {
    /// As that of a [`Family`]; in Prometheus `onward.handlers.busy` becomes `onward_handlers_busy`.
    pub name: &'static str,
    pub help: &'static str,
    /// None before the worker begins.
    pub value: fn(&Watched) -> Option<f64>,
}

pub(crate) const GAUGES: [Gauge; 6] = [
    Gauge {
        name: "onward.handlers",
        help: "How many handlers may run at once.",
        value: |watched| watched.activity(|activity| activity.handlers),
    },
    Gauge {
        name: "onward.handlers.busy",
        help: "How many handlers run.",
        value: |watched| watched.activity(|activity| activity.busy),
    },
    Gauge {
        name: "onward.messages.in_flight",
        help: "Messages that the worker has.",
        value: |watched| watched.activity(|activity| activity.in_flight),
    },
    Gauge {
        name: "onward.messages.parked",
        help: "Messages that wait in the worker for their next attempt.",
        value: |watched| watched.activity(|activity| activity.parked),
    },
    Gauge {
        name: "onward.breaker.open",
        help: "1 while the worker receives nothing, or one message, because every message failed.",
        value: |watched| watched.activity(|activity| usize::from(activity.receiving != Receiving::All)),
    },
    Gauge {
        name: "onward.message.oldest_age_seconds",
        help: "Age of the oldest message that the worker has, or has received within the last minute or two.",
        value: |watched| Some(watched.monitor.oldest_age().as_secs_f64()),
    },
];

impl Watched {
    fn activity(&self, value: fn(&Activity) -> usize) -> Option<f64> {
        self.monitor.activity().map(|activity| value(&activity) as f64)
    }
}
