use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::capacity::{Capacity, Reservation};
use crate::finished::Finished;
use crate::leases::{Lease, Leases};
use crate::ledger::count;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::outcome::{Outcome, Outcomes};
use crate::queue::Message;

/// What every task of a worker uses.
#[derive(Debug)]
pub(crate) struct Core<Q> {
    pub queue: Q,
    pub options: Options,
    pub monitor: Monitor,
    pub leases: Arc<Leases>,
    pub finished: Finished,
}

/// What intake and deliveries use besides.
#[derive(Debug)]
pub(crate) struct Shared<Q, H> {
    pub core: Arc<Core<Q>>,
    pub handler: H,
    pub outcomes: Outcomes,
    pub capacity: Arc<Capacity>,
    pub breaker: Breaker,
    /// Cancelled when the worker is told to stop.
    pub stop: CancellationToken,
    /// Cancelled when the grace has ended.
    pub abandon: CancellationToken,
}

/// A message that this worker has received, with all that it holds for it.
#[derive(Debug)]
pub(crate) struct Claim {
    pub message: Message,
    pub lease: Lease,
    /// Its place among the messages that the worker has room for.
    pub _reservation: Reservation,
}

impl<Q, H> Shared<Q, H> {
    /// Gives back a message that was not started, at once, to another worker or a later poll.
    pub(crate) fn release(&self, claim: Claim) {
        count(&self.core.monitor.counters().released, 1);
        self.outcomes.push(Outcome::Return { lease: claim.lease, delay: Duration::ZERO });
    }

    /// Has a message deleted that is done. Until the queue has confirmed it, the message is not handled again.
    pub(crate) fn done(&self, Claim { message, lease, .. }: Claim) {
        self.core.finished.remember(&message.id);
        self.outcomes.push(Outcome::Delete { id: message.id, lease });
    }
}
