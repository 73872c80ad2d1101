use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::breaker::Admission;
use crate::capacity::Reservation;
use crate::delivery::deliver_in_order;
use crate::error::{QueueError, QueueErrorKind};
use crate::handler::MessageHandler;
use crate::leases::Lease;
use crate::ledger::count;
use crate::queue::{BATCH, Message, Queue};
use crate::shared::{Claim, Shared};

/// How many polls may be open at once while batches come back full.
const MAX_POLLS: usize = 8;

/// How much longer than its wait a poll may take before it counts as hung.
const MARGIN: Duration = Duration::from_secs(10);

/// How many messages may be done and not deleted yet before the worker receives no more: a queue that accepts no deletes
/// must not fill the memory.
const MAX_UNACKED: usize = 1_000;

/// Polls until the worker is told to stop, then awaits the polls that are open and gives back what they bring.
///
/// One poll is open when the queue is idle. Each full batch allows one more, each other batch one less.
/// [`Capacity`](crate::capacity::Capacity) decides how many messages a poll asks for.
///
/// An error ends it only as long as no poll has succeeded, because then the configuration is wrong.
pub(crate) async fn poll<Q: Queue, H: MessageHandler>(
    shared: Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
) -> Result<(), QueueError> {
    let (shared, stop) = (&shared, &shared.stop);
    let mut polls = FuturesUnordered::new();
    let mut allowed = 1;
    let mut failures = 0;
    let mut proven = false;
    loop {
        let may_poll = polls.len() < allowed && !stop.is_cancelled();
        let outcome = tokio::select! {
            () = stop.cancelled(), if may_poll => continue,
            room = admitted(shared), if may_poll => {
                polls.push(receive(shared, room));
                continue;
            }
            Some(outcome) = polls.next() => outcome,
            else => return Ok(()),
        };
        match outcome {
            Ok(claims) => {
                (failures, proven) = (0, true);
                allowed = if claims.len() == BATCH { MAX_POLLS.min(allowed + 1) } else { 1.max(allowed - 1) };
                dispatch(shared, tasks, claims);
            }
            Err(error) if !proven && error.kind != QueueErrorKind::Throttled => return Err(error),
            Err(error) => {
                failures += 1;
                allowed = 1;
                let pause = Backoff::CALLS.delay(failures);
                tracing::warn!(%error, ?pause, help = error.help(), "the queue cannot be read");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
}

/// Waits until not too many outcomes are unsent, until there is room, and until the breaker admits a receive. The breaker
/// comes last, because a receive must follow its admission: it would wait for ever for a probe that was never sent.
async fn admitted<Q: Queue, H: MessageHandler>(shared: &Shared<Q, H>) -> Vec<Reservation> {
    let limit = 2 * shared.core.options.concurrency + MAX_UNACKED;
    shared.core.leases.fewer_than(limit).await;
    let mut room = shared.capacity.reserve().await;
    if shared.breaker.admit().await == Admission::Probe {
        room.truncate(1);
    }
    room
}

async fn receive<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    room: Vec<Reservation>,
) -> Result<Vec<Claim>, QueueError> {
    let core = &shared.core;
    let options = &core.options;
    count(&core.monitor.counters().receive_calls, 1);
    let polling = core.monitor.polling();
    let receive = core.queue.receive(room.len(), options.wait, options.visibility);
    let outcome = match tokio::time::timeout(options.wait + MARGIN, receive).await {
        Ok(outcome) => outcome,
        Err(_) => Err(QueueError::new(QueueErrorKind::Network, "a poll did not end in time")),
    };
    drop(polling);
    if outcome.as_ref().map_or(true, Vec::is_empty) {
        shared.breaker.probe_came_back();
    }
    let messages = outcome.inspect_err(|_| count(&core.monitor.counters().failed_calls, 1))?;
    count(&core.monitor.counters().received, messages.len());
    count(&core.monitor.counters().empty_receives, usize::from(messages.is_empty()));
    let again = messages.iter().filter(|message| message.receive_count > 1).count();
    count(&core.monitor.counters().redelivered, again);
    let claim = |(message, reservation): (Message, Reservation)| {
        let lease = Lease::begin(&core.leases, &message.receipt, options.visibility);
        Claim { message, lease, _reservation: reservation }
    };
    Ok(messages.into_iter().zip(room).map(claim).collect())
}

/// Starts what was received: the messages of a FIFO queue's group one after the other, all others at once.
fn dispatch<Q: Queue, H: MessageHandler>(
    shared: &Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
    claims: Vec<Claim>,
) {
    let is_fifo = shared.core.queue.is_fifo();
    let mut groups: HashMap<String, Vec<Claim>> = HashMap::new();
    for claim in claims {
        match claim.message.group_id.clone().filter(|_| is_fifo) {
            Some(group) => groups.entry(group).or_default().push(claim),
            None => drop(tasks.spawn(deliver_in_order(shared.clone(), vec![claim]))),
        }
    }
    for group in groups.into_values() {
        tasks.spawn(deliver_in_order(shared.clone(), group));
    }
}
