use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::error::{QueueError, QueueErrorKind};
use crate::ledger::count;
use crate::message::Receipt;
use crate::outcome::{Lane, Lanes, Outcome};
use crate::queue::{Queue, Refused};
use crate::shared::Core;

/// How many batches of a kind may be on their way at once.
const CONCURRENT_BATCHES: usize = 8;

/// Sends every outcome to the queue, and ends when the last [`Outcomes`](crate::outcome::Outcomes) is gone and all is sent.
pub(crate) async fn run<Q: Queue>(core: Arc<Core<Q>>, lanes: Lanes) {
    tokio::join!(lane(core.clone(), lanes.deletes), lane(core, lanes.returns));
}

async fn lane<Q: Queue>(core: Arc<Core<Q>>, lane: Arc<Lane>) {
    let mut sending = JoinSet::new();
    while let Some(batch) = lane.batch().await {
        if sending.len() >= CONCURRENT_BATCHES {
            sending.join_next().await;
        }
        let core = core.clone();
        sending.spawn(async move { send(&core, batch).await });
    }
    sending.join_all().await;
}

/// After so many calls that failed the worker gives an outcome up: the message comes back by itself.
const MAX_CALLS: u32 = 20;

/// Makes the call until each entry is done, refused for good, given up, or held by another worker.
async fn send<Q: Queue>(core: &Core<Q>, batch: Vec<Outcome>) {
    for outcome in batch.iter().filter(|outcome| matches!(outcome, Outcome::Return { .. })) {
        outcome.lease().let_expire();
    }
    let (mut parts, mut failures) = (VecDeque::from([batch]), 0);
    while let Some(mut batch) = parts.pop_front() {
        batch.retain(|outcome| {
            let is_held = outcome.lease().is_held();
            if !is_held {
                give_up(core, outcome, "its lease has ended");
            }
            is_held
        });
        if batch.is_empty() {
            continue;
        }
        match call(core, &batch).await {
            Ok(refused) => {
                batch = still_open(core, batch, &refused);
                if batch.is_empty() {
                    continue;
                }
            }
            Err(error) => {
                count(&core.monitor.counters().failed_calls, 1);
                tracing::warn!(%error, messages = batch.len(), "acknowledging failed; the call is made again");
                // One entry that the queue cannot read must not hold up its neighbours: what has failed comes behind all other parts.
                if error.kind == QueueErrorKind::Service && batch.len() > 1 {
                    parts.push_back(batch.split_off(batch.len() / 2));
                }
            }
        }
        failures += 1;
        parts.push_back(batch);
        if failures >= MAX_CALLS {
            for outcome in parts.drain(..).flatten() {
                give_up(core, &outcome, "the queue does not accept it");
            }
            return;
        }
        tokio::time::sleep(Backoff::CALLS.delay(failures)).await;
    }
}

async fn call<Q: Queue>(core: &Core<Q>, batch: &[Outcome]) -> Result<Vec<Refused>, QueueError> {
    let deletes: Vec<_> = batch.iter().filter_map(to_delete).collect();
    if deletes.is_empty() {
        count(&core.monitor.counters().visibility_calls, 1);
        let returns: Vec<_> = batch.iter().filter_map(to_return).collect();
        core.queue.change_visibility(&returns).await
    } else {
        count(&core.monitor.counters().delete_calls, 1);
        core.queue.delete(&deletes).await
    }
}

fn to_delete(outcome: &Outcome) -> Option<Receipt> {
    match outcome {
        Outcome::Delete { lease, .. } => Some(lease.receipt().clone()),
        Outcome::Return { .. } => None,
    }
}

fn to_return(outcome: &Outcome) -> Option<(Receipt, Duration)> {
    match outcome {
        Outcome::Return { lease, delay } => Some((lease.receipt().clone(), *delay)),
        Outcome::Delete { .. } => None,
    }
}

/// Ends what was done or refused for good, and keeps the rest for another call.
fn still_open<Q: Queue>(core: &Core<Q>, batch: Vec<Outcome>, refused: &[Refused]) -> Vec<Outcome> {
    let mut open = Vec::new();
    for (index, outcome) in batch.into_iter().enumerate() {
        match refused.iter().find(|refused| refused.index == index) {
            None => {
                if let Outcome::Delete { id, .. } = &outcome {
                    core.finished.forget(id);
                }
            }
            Some(Refused { is_permanent: true, reason, .. }) => give_up(core, &outcome, reason),
            Some(Refused { reason, .. }) => {
                tracing::warn!(%reason, "the queue refused an entry of a batch; it is sent again");
                open.push(outcome);
            }
        }
    }
    open
}

/// A message that is done and could not be deleted comes back. The worker remembers it, so that it does not run again.
fn give_up<Q: Queue>(core: &Core<Q>, outcome: &Outcome, reason: &str) {
    match outcome {
        Outcome::Delete { id, .. } => {
            count(&core.monitor.counters().undeleted, 1);
            core.finished.give_up(id);
            tracing::warn!(%id, %reason, "not deleted; the worker deletes it when it comes back");
        }
        Outcome::Return { .. } => {
            tracing::debug!(%reason, "the message comes back by itself");
        }
    }
}
