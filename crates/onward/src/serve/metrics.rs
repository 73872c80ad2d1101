//! `/metrics`: the workers, and what is read from SQS and the database when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use crate::config::identity::Identity;
use crate::letters::backlog::{Backlog, Counted};
use crate::letters::counts::Counts;
use crate::outbox::{Outbox, Rows};
use crate::telemetry::metrics::Watched;
use crate::telemetry::prometheus::{self, Reading};

/// How long a look at the metrics waits for the outbox.
const MOST_FOR_OUTBOX: Duration = Duration::from_secs(2);

/// What a scrape looks at.
pub(crate) struct Metrics {
    pub identity: Identity,
    /// The number of the schema, as the gate saw it last.
    pub schema: Arc<AtomicI32>,
    pub watched: Vec<Watched>,
    pub queues: Vec<Arc<Counted>>,
    pub outbox: Option<Outbox>,
}

impl Metrics {
    pub(crate) async fn text(&self) -> String {
        let Self { identity, schema, .. } = self;
        let build = vec![("name", identity.name.clone()), ("version", identity.version.clone())];
        let mut readings = vec![
            Reading {
                name: "onward_build_info",
                help: "1, with the app's name and version.",
                values: vec![(build, 1.0)],
            },
            Reading {
                name: "onward_schema_version",
                help: "The number of the last script that the database has, as the gate saw it.",
                values: vec![(Vec::new(), f64::from(schema.load(Ordering::Relaxed)))],
            },
        ];
        let (backlogs, outbox) = tokio::join!(backlogs(&self.queues), outbox(self.outbox.as_ref()));
        readings.extend(backlogs);
        readings.extend(outbox);
        prometheus::text(self.watched.clone(), readings)
    }
}

async fn backlogs(queues: &[Arc<Counted>]) -> Vec<Reading> {
    let all = futures_util::future::join_all(queues.iter().map(|queue| queue.look())).await;
    let (mut messages, mut letters, mut up) = (Vec::new(), Vec::new(), Vec::new());
    for (queue, known) in queues.iter().zip(all) {
        let queue = || ("queue", queue.name.to_owned());
        up.push((vec![queue()], if known.error.is_none() { 1.0 } else { 0.0 }));
        let Some(Backlog { counts: Counts { waiting, in_flight, delayed }, dead }) = known.value().copied()
        else {
            continue;
        };
        for (state, number) in [("waiting", waiting), ("in_flight", in_flight), ("delayed", delayed)] {
            messages.push((vec![queue(), ("state", state.to_owned())], number as f64));
        }
        letters.extend(dead.flatten().map(|dead| (vec![queue()], dead.all() as f64)));
    }
    vec![
        Reading {
            name: "onward_queue_messages",
            help: "Messages of the queue by state, as SQS counted them within the last half minute.",
            values: messages,
        },
        Reading { name: "onward_dead_letters", help: "Messages of the dead-letter queue.", values: letters },
        Reading {
            name: "onward_queue_up",
            help: "Whether SQS answered when the messages were counted last.",
            values: up,
        },
    ]
}

/// What is in the outbox, if the database answers in time: a look at the metrics must not wait for it.
async fn outbox(outbox: Option<&Outbox>) -> Vec<Reading> {
    let Some(outbox) = outbox else { return Vec::new() };
    let read = tokio::time::timeout(MOST_FOR_OUTBOX, outbox.rows()).await;
    let rows = read.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    let up = Reading {
        name: "onward_outbox_up",
        help: "Whether the table of the outbox could be read.",
        values: vec![(Vec::new(), if rows.is_ok() { 1.0 } else { 0.0 })],
    };
    let Rows { waiting, parked, oldest_seconds } = match rows {
        Ok(rows) => rows,
        Err(reason) => {
            tracing::warn!(reason, "the outbox could not be counted for the metrics");
            return vec![up];
        }
    };
    let state = |state: &str, rows: i64| (vec![("state", state.to_owned())], rows as f64);
    vec![
        up,
        Reading {
            name: "onward_outbox_rows",
            help: "Rows of the outbox by state; a parked one can never be sent as it is.",
            values: vec![state("waiting", waiting), state("parked", parked)],
        },
        Reading {
            name: "onward_outbox_oldest_seconds",
            help: "How long ago the oldest row that waits was written.",
            values: vec![(Vec::new(), oldest_seconds)],
        },
    ]
}
