use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::task::TaskTracker;

use crate::breaker::Admission;
use crate::capacity::Reservation;
use crate::delivery::{Handler, deliver_in_order};
use crate::fault::{Fault, FaultKind, pause};
use crate::ledger::count;
use crate::queue::{BATCH, Message, Queue};
use crate::shutdown::Shared;

/// How many polls may be open at once while batches come back full.
const MOST_POLLS: usize = 8;

/// How much longer than its wait a poll may take before it counts as hung.
const MARGIN: Duration = Duration::from_secs(10);

/// How many messages may be done and not deleted yet, before no more are received: a queue that takes no deletes must not
/// fill the memory.
const UNTOLD: usize = 1_000;

/// Asks for messages until told to stop, then awaits the polls that are open and gives back what they bring.
///
/// One poll is open when the queue is idle; each full batch allows one more, each other batch one less. How many
/// messages a poll asks for is [`Capacity`](crate::capacity::Capacity)'s to say.
///
/// An error ends it only while no poll has succeeded yet, when it is the configuration that is wrong.
pub(crate) async fn poll<Q: Queue, H: Handler>(
    shared: Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
) -> Result<(), Fault> {
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
            Ok((messages, room)) => {
                (failures, proven) = (0, true);
                allowed =
                    if messages.len() == BATCH { MOST_POLLS.min(allowed + 1) } else { 1.max(allowed - 1) };
                dispatch(shared, tasks, messages, room);
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

/// Waits until not too many outcomes have still to be told, for room, and until something may be received. The breaker
/// comes last, because what it admits must be received: a probe that is given up on the way would be waited for.
async fn admitted<Q: Queue, H: Handler>(shared: &Shared<Q, H>) -> Vec<Reservation> {
    let most = 2 * shared.core.options.concurrency + UNTOLD;
    shared.core.leases.fewer_than(most).await;
    let mut room = shared.capacity.reserve().await;
    if shared.breaker.admit().await == Admission::Probe {
        room.truncate(1);
    }
    room
}

async fn receive<Q: Queue, H: Handler>(
    shared: &Shared<Q, H>,
    room: Vec<Reservation>,
) -> Result<(Vec<Message>, Vec<Reservation>), Fault> {
    let core = &shared.core;
    let options = &core.options;
    count(&core.monitor.counters().receive_calls, 1);
    let polling = core.monitor.polling();
    let receive = core.queue.receive(room.len(), options.wait, options.visibility);
    let outcome = match tokio::time::timeout(options.wait + MARGIN, receive).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::new(FaultKind::Network, "a poll did not end in time")),
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
    for message in &messages {
        core.leases.begin(&message.receipt, options.visibility);
    }
    Ok((messages, room))
}

/// Begins what was received: the messages of a FIFO queue's group one after the other, all others at once.
fn dispatch<Q: Queue, H: Handler>(
    shared: &Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
    messages: Vec<Message>,
    room: Vec<Reservation>,
) {
    let is_fifo = shared.core.queue.is_fifo();
    let mut groups: HashMap<String, Vec<(Message, Reservation)>> = HashMap::new();
    for (message, reservation) in messages.into_iter().zip(room) {
        match message.group_id.clone().filter(|_| is_fifo) {
            Some(group) => groups.entry(group).or_default().push((message, reservation)),
            None => drop(tasks.spawn(deliver_in_order(shared.clone(), vec![(message, reservation)]))),
        }
    }
    for group in groups.into_values() {
        tasks.spawn(deliver_in_order(shared.clone(), group));
    }
}
