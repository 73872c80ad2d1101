use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::breaker::{Breaker, Receiving};
use crate::capacity::Capacity;
use crate::leases::Leases;
use crate::parking::Parking;
use crate::progress::Place;

/// What a worker does at a time: [`Monitor::activity`](crate::Monitor::activity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// How many handlers may run at once.
    pub handlers: usize,
    /// How many run.
    pub busy: usize,
    /// How many messages the worker has, those included whose deletion the queue has not confirmed.
    pub in_flight: usize,
    /// How many of them wait here for their next attempt.
    pub parked: usize,
    /// Whether the worker receives.
    pub receiving: Receiving,
}

/// A message that a worker has: [`Monitor::in_flight`](crate::Monitor::in_flight).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InFlight {
    /// Its identity.
    pub identity: String,
    /// Which attempt runs, or ran last; zero before the first one here.
    pub attempt: u32,
    /// When it was sent.
    pub sent: Option<SystemTime>,
    /// The time since its receive.
    pub held: Duration,
    /// For how long the queue keeps it for this worker, unless the lease is extended before.
    pub lease_left: Duration,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a message in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A free handler, the message in front of it in its group, or one that must run alone.
    ItsTurn,
    /// The end of its handler.
    ItsHandler,
    /// Its next attempt, after this time.
    Retry(Duration),
    /// The queue, to confirm that it is deleted.
    Deletion,
    /// The queue, to take it back.
    Return,
}

/// The parts of a worker that say what it does.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub capacity: Arc<Capacity>,
    pub parking: Arc<Parking>,
    pub breaker: Arc<Breaker>,
    pub leases: Arc<Leases>,
}

impl Parts {
    pub(crate) fn activity(&self) -> Activity {
        let (handlers, busy) = self.capacity.handlers();
        Activity {
            handlers,
            busy,
            in_flight: self.leases.count(),
            parked: self.parking.messages(),
            receiving: self.breaker.receiving(),
        }
    }

    /// When the oldest of the messages that the worker has was sent.
    pub(crate) fn oldest_sent(&self) -> Option<SystemTime> {
        self.leases.held_messages().into_iter().filter_map(|(progress, ..)| progress.sent).min()
    }

    /// The messages that the worker has, the one that was received first at first.
    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        let now = Instant::now();
        let mut all: Vec<_> = self
            .leases
            .held_messages()
            .into_iter()
            .map(|(progress, since, ends)| {
                let (place, attempt) = progress.read();
                InFlight {
                    identity: progress.identity.clone(),
                    attempt,
                    sent: progress.sent,
                    held: now.saturating_duration_since(since),
                    lease_left: ends.saturating_duration_since(now),
                    waits_for: match place {
                        Place::Waiting => WaitsFor::ItsTurn,
                        Place::Running => WaitsFor::ItsHandler,
                        Place::Parked { until } => WaitsFor::Retry(until.saturating_duration_since(now)),
                        Place::Deleting => WaitsFor::Deletion,
                        Place::Returning => WaitsFor::Return,
                    },
                }
            })
            .collect();
        all.sort_by_key(|message| std::cmp::Reverse(message.held));
        all
    }
}
