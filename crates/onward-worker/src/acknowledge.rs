use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::fault::{Fault, pause};
use crate::ledger::count;
use crate::queue::{BATCH, Queue, Receipt, Refused};
use crate::shutdown::Core;

/// How long a batch waits to be filled: long enough for tens under load, too short to be noticed.
const LINGER: Duration = Duration::from_millis(20);

/// How many batches of a kind may be on their way at once.
const CONCURRENT_BATCHES: usize = 8;

/// What the queue is to be told of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done: delete it.
    Delete { id: String, receipt: Receipt },
    /// It failed or was not started: it comes back after the delay.
    Return { receipt: Receipt, delay: Duration },
}

impl Outcome {
    fn to_delete(&self) -> Option<Receipt> {
        match self {
            Self::Delete { receipt, .. } => Some(receipt.clone()),
            Self::Return { .. } => None,
        }
    }

    fn to_return(&self) -> Option<(Receipt, Duration)> {
        match self {
            Self::Return { receipt, delay } => Some((receipt.clone(), *delay)),
            Self::Delete { .. } => None,
        }
    }

    fn receipt(&self) -> &Receipt {
        match self {
            Self::Delete { receipt, .. } | Self::Return { receipt, .. } => receipt,
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
pub(crate) struct Lanes {
    deletes: UnboundedReceiver<Outcome>,
    returns: UnboundedReceiver<Outcome>,
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
        // The lanes end after the last delivery, so nobody is left to push to an ended one.
        let _ = lane.send(outcome);
    }
}

/// Tells the queue every outcome; ends when the last [`Outcomes`] is gone and everything is told.
pub(crate) async fn run<Q: Queue>(core: Arc<Core<Q>>, lanes: Lanes) {
    tokio::join!(lane(core.clone(), lanes.deletes), lane(core, lanes.returns));
}

async fn lane<Q: Queue>(core: Arc<Core<Q>>, mut outcomes: UnboundedReceiver<Outcome>) {
    let mut sending = JoinSet::new();
    while let Some(first) = outcomes.recv().await {
        let mut batch = vec![first];
        let full_by = Instant::now() + LINGER;
        while batch.len() < BATCH {
            match timeout_at(full_by, outcomes.recv()).await {
                Ok(Some(outcome)) => batch.push(outcome),
                Ok(None) | Err(_) => break,
            }
        }
        if sending.len() >= CONCURRENT_BATCHES {
            sending.join_next().await;
        }
        let core = core.clone();
        sending.spawn(async move { tell(&core, batch).await });
    }
    sending.join_all().await;
}

/// Makes the call until each entry is done, refused for good, or no longer ours.
async fn tell<Q: Queue>(core: &Core<Q>, mut batch: Vec<Outcome>) {
    let mut failures = 0;
    loop {
        batch.retain(|outcome| {
            let ours = core.leases.holds(outcome.receipt());
            if !ours {
                given_up(core, outcome, "its lease has ended");
            }
            ours
        });
        if batch.is_empty() {
            return;
        }
        batch = match call(core, &batch).await {
            Ok(refused) => still_open(core, batch, &refused),
            Err(fault) => {
                count(&core.monitor.counters().failed_calls, 1);
                tracing::warn!(%fault, messages = batch.len(), "acknowledging failed and is tried again");
                batch
            }
        };
        if !batch.is_empty() {
            failures += 1;
            tokio::time::sleep(pause(failures)).await;
        }
    }
}

async fn call<Q: Queue>(core: &Core<Q>, batch: &[Outcome]) -> Result<Vec<Refused>, Fault> {
    let deletes: Vec<_> = batch.iter().filter_map(Outcome::to_delete).collect();
    if deletes.is_empty() {
        count(&core.monitor.counters().visibility_calls, 1);
        let returns: Vec<_> = batch.iter().filter_map(Outcome::to_return).collect();
        core.queue.change_visibility(&returns).await
    } else {
        count(&core.monitor.counters().delete_calls, 1);
        core.queue.delete(&deletes).await
    }
}

/// Ends what was done or refused for good, and keeps the rest for another call.
fn still_open<Q: Queue>(core: &Core<Q>, batch: Vec<Outcome>, refused: &[Refused]) -> Vec<Outcome> {
    let mut open = Vec::new();
    for (index, outcome) in batch.into_iter().enumerate() {
        match refused.iter().find(|refused| refused.index == index) {
            None => {
                core.leases.end(outcome.receipt());
                if let Outcome::Delete { id, .. } = &outcome {
                    core.finished.forget(id);
                }
            }
            Some(Refused { final_: true, reason, .. }) => given_up(core, &outcome, reason),
            Some(Refused { reason, .. }) => {
                tracing::warn!(%reason, "the queue refused an entry of a batch; it is tried again");
                open.push(outcome);
            }
        }
    }
    open
}

/// A message that is done and could not be deleted comes back; it is remembered, so that it does not run again.
fn given_up<Q: Queue>(core: &Core<Q>, outcome: &Outcome, reason: &str) {
    core.leases.end(outcome.receipt());
    match outcome {
        Outcome::Delete { id, .. } => {
            count(&core.monitor.counters().undeleted, 1);
            core.finished.give_up(id);
            tracing::warn!(%id, %reason, "done and not deleted; it is deleted when it comes back");
        }
        Outcome::Return { .. } => {
            tracing::debug!(%reason, "the message comes back by itself");
        }
    }
}

/// Messages that are done and not known to be deleted, so that one that comes back is not handled again.
#[derive(Debug, Default)]
pub(crate) struct Finished(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    all: HashSet<String>,
    /// Those whose delete was given up, the oldest first; only they stay.
    given_up: VecDeque<String>,
}

/// A bound for memory, far above what can be in doubt at once.
const MOST_GIVEN_UP: usize = 10_000;

impl Finished {
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the moment its handler has ended, not only from the first delete that fails: while a delete is under
    /// way the lease may end and the message come back.
    pub(crate) fn remember(&self, id: &str) {
        self.ids().all.insert(id.to_owned());
    }

    fn give_up(&self, id: &str) {
        let mut ids = self.ids();
        ids.given_up.push_back(id.to_owned());
        if ids.given_up.len() > MOST_GIVEN_UP
            && let Some(oldest) = ids.given_up.pop_front()
        {
            ids.all.remove(&oldest);
        }
    }

    fn forget(&self, id: &str) {
        self.ids().all.remove(id);
    }

    /// How many are done whose delete was neither answered nor given up.
    pub(crate) fn in_doubt(&self) -> usize {
        let ids = self.ids();
        ids.all.len().saturating_sub(ids.given_up.len())
    }

    /// Whether the message was handled by this process before.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.ids().all.contains(id)
    }
}
