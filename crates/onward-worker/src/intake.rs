use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acknowledge::Outcome;
use crate::delivery::{Handler, deliver};
use crate::fault::{Fault, FaultKind, pause};
use crate::ledger::count;
use crate::queue::{BATCH, Message, Queue};
use crate::shutdown::Shared;

/// How many polls may be open at once while batches come back full.
const MOST_POLLS: usize = 8;

/// How much longer than its wait a poll may take before it counts as hung.
const MARGIN: Duration = Duration::from_secs(10);

/// Asks for messages until told to stop, then awaits the polls that are open and gives back what they bring.
///
/// One poll is open when the queue is idle; each full batch allows one more, each other batch one less. No poll
/// asks for more messages than there are free slots, so that one slow message holds back none.
///
/// An error ends it only while no poll has succeeded yet, when it is the configuration that is wrong.
pub(crate) async fn poll<Q: Queue, H: Handler>(
    shared: Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Fault> {
    let shared = &shared;
    let mut polls = FuturesUnordered::new();
    let mut allowed = 1;
    let mut failures = 0;
    let mut proven = false;
    loop {
        let may_poll = polls.len() < allowed && !stop.is_cancelled();
        let outcome = tokio::select! {
            () = stop.cancelled(), if may_poll => continue,
            slots = free_slots(shared), if may_poll => {
                polls.push(receive(shared, slots));
                continue;
            }
            Some(outcome) = polls.next() => outcome,
            else => return Ok(()),
        };
        match outcome {
            Ok((messages, slots)) => {
                (failures, proven) = (0, true);
                allowed =
                    if messages.len() == BATCH { MOST_POLLS.min(allowed + 1) } else { 1.max(allowed - 1) };
                dispatch(shared, tasks, stop, messages, slots);
            }
            Err(fault) if !proven && fault.kind != FaultKind::Throttled => return Err(fault),
            Err(fault) => {
                failures += 1;
                allowed = 1;
                let pause = pause(failures);
                tracing::warn!(%fault, ?pause, help = fault.help(), "the queue cannot be read");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
}

/// Waits for one free slot and takes as many more as are free, up to a batch.
async fn free_slots<Q: Queue, H: Handler>(shared: &Shared<Q, H>) -> Vec<OwnedSemaphorePermit> {
    let first = shared.slots.clone().acquire_owned().await.expect("the slots are never closed");
    let mut slots = vec![first];
    while slots.len() < BATCH {
        match shared.slots.clone().try_acquire_owned() {
            Ok(slot) => slots.push(slot),
            Err(_) => break,
        }
    }
    slots
}

async fn receive<Q: Queue, H: Handler>(
    shared: &Shared<Q, H>,
    slots: Vec<OwnedSemaphorePermit>,
) -> Result<(Vec<Message>, Vec<OwnedSemaphorePermit>), Fault> {
    let core = &shared.core;
    let options = &core.options;
    count(&core.counters.receive_calls, 1);
    let receive = core.queue.receive(slots.len(), options.wait, options.visibility);
    let outcome = match tokio::time::timeout(options.wait + MARGIN, receive).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::new(FaultKind::Network, "a poll did not end in time")),
    };
    let messages = outcome.inspect_err(|_| count(&core.counters.failed_calls, 1))?;
    count(&core.counters.received, messages.len());
    count(&core.counters.empty_receives, usize::from(messages.is_empty()));
    for message in &messages {
        core.leases.begin(&message.receipt, options.visibility);
    }
    Ok((messages, slots))
}

fn dispatch<Q: Queue, H: Handler>(
    shared: &Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    messages: Vec<Message>,
    slots: Vec<OwnedSemaphorePermit>,
) {
    for (message, slot) in messages.into_iter().zip(slots) {
        if shared.core.finished.holds(&message.id) {
            tracing::info!(id = %message.id, "a message that is done came back; it is deleted");
            shared.done(message);
        } else if stop.is_cancelled() {
            count(&shared.core.counters.released, 1);
            shared.outcomes.push(Outcome::Return { receipt: message.receipt, delay: Duration::ZERO });
        } else {
            tasks.spawn(deliver(shared.clone(), message, slot));
        }
    }
}
