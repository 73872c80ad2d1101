use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::breaker::Probe;
use crate::capacity::Reservation;
use crate::crashes::Suspect;
use crate::leases::Lease;
use crate::message::Message;
use crate::runs::Run;
use crate::slow_start::Caution;

/// A message that this worker has received, with all that the worker holds for it.
///
/// A receive is a claim on a message; an attempt is a run of the handler. One claim may have many attempts.
#[derive(Debug)]
pub(crate) struct Claim {
    pub message: Message,
    pub lease: Lease,
    pub run: Run,
    /// Its place among the messages that the worker has room for; none while it waits for its next attempt.
    pub reservation: Option<Reservation>,
    /// Reports to the breaker what becomes of the message, where the breaker waits for it.
    pub probe: Option<Probe>,
    /// Whether this process has handled it before.
    pub is_done: bool,
    /// Whether the message may be one that kills the process: it was received several times, and nobody knows why it came back.
    pub is_suspicious: bool,
    /// Held as long as the process must be careful because of it.
    pub caution: Option<Caution>,
    /// What is known against it: it ran when a process died.
    pub suspect: Option<Suspect>,
    /// How many attempts have failed under this claim.
    pub failed: u32,
    /// Whether it has waited here for a next attempt, its own or that of the head of its group.
    pub has_waited: bool,
    /// How many receives there were before this claim.
    receives_before: u32,
    /// How many had failed before the message was sent anew.
    failed_before: u32,
    since: Instant,
    /// How long before this claim the message was first received.
    age_before: Duration,
}

/// The head of a group, and what waits behind it.
pub(crate) fn with_tail<'a>(
    head: &'a mut Claim,
    tail: &'a mut [Box<Claim>],
) -> impl Iterator<Item = &'a mut Claim> {
    std::iter::once(head).chain(tail.iter_mut().map(|claim| &mut **claim))
}

impl Claim {
    pub(crate) fn new(message: Message, (run, lease): (Run, Lease), reservation: Reservation) -> Self {
        let recorded = message.recorded_attempts();
        let first = recorded.map(|(_, first)| first).or(message.first_received);
        let age_before = first.and_then(|first| SystemTime::now().duration_since(first).ok());
        Self {
            receives_before: message.receive_count.saturating_sub(1),
            message,
            failed_before: recorded.map_or(0, |(failed, _)| failed),
            lease,
            run,
            reservation: Some(reservation),
            probe: None,
            is_done: false,
            is_suspicious: false,
            caution: None,
            suspect: None,
            failed: 0,
            has_waited: false,
            since: Instant::now(),
            age_before: age_before.unwrap_or_default(),
        }
    }

    /// How many attempts have failed, as far as is known: each receive before this one counts as one.
    pub(crate) fn failed_attempts(&self) -> u32 {
        self.certain_attempts().saturating_add(self.receives_before)
    }

    /// How many attempts have failed for certain: under this claim, and before the message was sent anew.
    pub(crate) fn certain_attempts(&self) -> u32 {
        self.failed_before.saturating_add(self.failed)
    }

    /// The time since its first receive.
    pub(crate) fn age(&self) -> Duration {
        self.age_before + self.held_for()
    }

    /// When it was first received.
    pub(crate) fn first_received(&self) -> SystemTime {
        SystemTime::now() - self.age()
    }

    /// The time since this receive.
    pub(crate) fn held_for(&self) -> Duration {
        self.since.elapsed()
    }

    /// Nothing is known against it any more: the process has survived it, or it is a dead letter.
    pub(crate) fn clear_suspect(&mut self) {
        if let Some(suspect) = self.suspect.take()
            && let Err(error) = suspect.clear()
        {
            tracing::warn!(%error, "what is known against a message that the process has survived cannot be removed");
        }
    }

    /// Takes over a later delivery to this process, with its lease and its number of receives.
    pub(crate) fn catch_up(&mut self) {
        if let Some(newer) = self.run.newer_lease() {
            newer.progress().continues(self.lease.progress());
            self.message.receive_count = newer.receive_count();
            self.lease = newer;
        }
    }

    /// Whether the queue still keeps the message for this worker. A later delivery to this process counts.
    pub(crate) fn is_held(&mut self) -> bool {
        self.catch_up();
        self.lease.is_held()
    }

    /// The process has survived it, or it does not run.
    pub(crate) fn trust(&mut self) {
        self.is_suspicious = false;
        self.caution = None;
    }

    /// Ends the claim and leaves the lease of the last delivery, because SQS may refuse the receipt of an earlier one.
    pub(crate) fn end(self: Box<Self>) -> Lease {
        let Self { run, lease, .. } = *self;
        let Some(newer) = run.end() else { return lease };
        newer.progress().continues(lease.progress());
        newer
    }
}
