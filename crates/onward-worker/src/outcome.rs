use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::leases::Lease;

/// What the worker has to tell the queue about a message. The lease goes with it and ends when the queue has answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The message is done: delete it.
    Delete { id: String, lease: Lease },
    /// The message failed or was not started: it comes back after the delay.
    Return { lease: Lease, delay: Duration },
}

impl Outcome {
    pub(crate) fn lease(&self) -> &Lease {
        match self {
            Self::Delete { lease, .. } | Self::Return { lease, .. } => lease,
        }
    }
}

/// Where deliveries leave their outcomes. Each kind has a lane of its own, so that a batch is always one call.
#[derive(Debug, Clone)]
pub(crate) struct Outcomes {
    deletes: UnboundedSender<Outcome>,
    returns: UnboundedSender<Outcome>,
}

/// The other end of [`Outcomes`].
#[derive(Debug)]
pub(crate) struct Lanes {
    pub deletes: UnboundedReceiver<Outcome>,
    pub returns: UnboundedReceiver<Outcome>,
}

pub(crate) fn lanes() -> (Outcomes, Lanes) {
    let (delete_sender, deletes) = unbounded_channel();
    let (return_sender, returns) = unbounded_channel();
    (Outcomes { deletes: delete_sender, returns: return_sender }, Lanes { deletes, returns })
}

impl Outcomes {
    pub(crate) fn push(&self, outcome: Outcome) {
        let lane = match outcome {
            Outcome::Delete { .. } => &self.deletes,
            Outcome::Return { .. } => &self.returns,
        };
        // The lanes end after the last delivery, so nobody can push to a lane that has ended.
        let _ = lane.send(outcome);
    }
}
