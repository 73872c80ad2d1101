use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::breaker::{Admission, Probe};
use crate::capacity::Reservation;
use crate::claim::Claim;
use crate::crashes::Suspect;
use crate::delivery::deliver_in_order;
use crate::error::{QueueError, QueueErrorKind};
use crate::handler::MessageHandler;
use crate::leases::Lease;
use crate::ledger::count;
use crate::message::Message;
use crate::queue::{BATCH, Queue};
use crate::retry::{SUSPICIOUS_RECEIVES, USUAL_RECEIVES};
use crate::runs::AlreadyHere;
use crate::shared::Shared;

/// How many polls may be open at once while batches come back full.
const MAX_POLLS: usize = 8;

/// How much longer than its wait a poll may take before it counts as hung.
const MARGIN: Duration = Duration::from_secs(10);

/// For how long after the start a queue may be unreachable before its address counts as wrong.
const START: Duration = Duration::from_secs(10);

/// How many messages may be done and not deleted yet before the worker receives no more: a queue that accepts no deletes
/// must not fill the memory.
const MAX_UNACKED: usize = 1_000;

/// How long a suspicious message stays away that finds another one here, as long as it can be sent anew.
const RETURN_OF_SUSPICIOUS: Duration = Duration::from_secs(10);

/// How long a message stays away that would overtake others of its group. SQS keeps it away until those are done; a server whose groups open
/// with any visible message must not deliver it in a loop.
const RETURN_BEHIND_GROUP: Duration = Duration::from_secs(10);

/// Polls until the worker is told to stop, then awaits the polls that are open and gives back what they bring.
///
/// One poll is open when the queue is idle. Each full batch allows one more, each other batch one less.
/// [`Capacity`](crate::capacity::Capacity) decides how many messages a poll asks for.
///
/// An error ends it only as long as no poll has succeeded, because then the configuration is wrong. One that may pass by itself
/// is borne for [`START`] first: a start that falls into an outage must not become a loop of starts.
pub(crate) async fn poll<Q: Queue, H: MessageHandler>(
    shared: Arc<Shared<Q, H>>,
    tasks: TaskTracker,
) -> Result<(), QueueError> {
    let (shared, stop) = (&shared, &shared.stop);
    let _ended = shared.polls_ended.clone().drop_guard();
    let mut polls = FuturesUnordered::new();
    let mut allowed = 1;
    let mut failures = 0;
    let mut proven = false;
    // Until then no poll begins, and what the open ones bring is taken.
    let mut resumes = Instant::now();
    let begun = Instant::now();
    loop {
        let may_poll = polls.len() < allowed && !stop.is_cancelled();
        let is_waiting = may_poll && resumes > Instant::now();
        let outcome = tokio::select! {
            () = stop.cancelled(), if may_poll => continue,
            () = tokio::time::sleep_until(resumes), if is_waiting => continue,
            (room, probe) = admitted(shared), if may_poll && !is_waiting => {
                polls.push(receive(shared, room, probe));
                continue;
            }
            Some(outcome) = polls.next() => outcome,
            else => return Ok(()),
        };
        match outcome {
            Ok(Received { claims, is_short }) => {
                if failures > 0 {
                    tracing::info!("the queue can be read again");
                }
                (failures, proven) = (0, true);
                allowed = if claims.len() == BATCH { MAX_POLLS.min(allowed + 1) } else { 1.max(allowed - 1) };
                if is_short {
                    resumes = resumes.max(Instant::now() + shared.core.options.batching_window);
                }
                dispatch(shared, &tasks, claims);
            }
            Err(error) if !(proven || error.may_pass() && begun.elapsed() < START) => return Err(error),
            Err(error) => {
                failures += 1;
                allowed = 1;
                let pause = Backoff::CALLS.delay(failures);
                tracing::warn!(%error, ?pause, help = error.help(), "the queue cannot be read");
                resumes = resumes.max(Instant::now() + pause);
            }
        }
    }
}

/// Waits until not too many outcomes are unsent, until leases can be extended, until there is room, and until the breaker admits a receive. The
/// breaker comes last, because a receive must follow its admission: it would wait for ever for a probe that was never sent.
async fn admitted<Q: Queue, H: MessageHandler>(shared: &Shared<Q, H>) -> (Vec<Reservation>, Option<Probe>) {
    shared.core.finished.fewer_in_doubt_than(MAX_UNACKED, || ()).await;
    shared.core.leases.extendable().await;
    let mut room = shared.capacity.reserve().await;
    match shared.breaker.admit().await {
        Admission::All => (room, None),
        Admission::Probe(probe) => {
            room.truncate(1);
            (room, Some(probe))
        }
    }
}

/// What a poll has brought.
struct Received {
    claims: Vec<Claim>,
    /// Whether it was something, and less than there was room for.
    is_short: bool,
}

async fn receive<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    room: Vec<Reservation>,
    probe: Option<Probe>,
) -> Result<Received, QueueError> {
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
    core.monitor.polled(outcome.is_ok());
    let messages = outcome.inspect_err(|_| count(&core.monitor.counters().failed_calls, 1))?;
    count(&core.monitor.counters().received, messages.len());
    core.monitor.received(&messages);
    count(&core.monitor.counters().empty_receives, usize::from(messages.is_empty()));
    let is_short = !messages.is_empty() && messages.len() < room.len();
    let again = messages.iter().filter(|message| message.receive_count > 1).count();
    count(&core.monitor.counters().redelivered, again);
    let here = groups_here(shared, &messages);
    let claims = messages.into_iter().zip(room).filter_map(|(message, room)| claim(shared, message, room));
    let (behind, mut claims): (Vec<_>, Vec<_>) = claims.partition(|claim| is_behind(shared, claim, &here));
    if let Some(first) = claims.first_mut() {
        first.probe = probe;
    }
    if !claims.is_empty() {
        shared.capacity.slow_start().received(again > 0);
    }
    // An attempt that may end the process waits for this.
    let _sorting = shared.process.sorting();
    for claim in behind {
        let why = "messages of its group that come before it are here";
        let kept = shared.release_after(Box::new(claim), why, RETURN_BEHIND_GROUP).await;
        claims.extend(kept.map(|claim| *claim));
    }
    Ok(Received { claims: one_suspicious(shared, claims).await, is_short })
}

/// The groups of a FIFO queue of which messages are here already. SQS delivers no more of them, except after leases have ended in an outage: then
/// it delivers those again that are here, and with them later ones.
fn groups_here<Q: Queue, H>(shared: &Shared<Q, H>, messages: &[Message]) -> HashSet<String> {
    let groups = messages.iter().filter_map(|message| ordered_group(shared, message));
    groups.filter(|group| shared.runs.has_group(group)).map(str::to_owned).collect()
}

/// Whether a message would overtake those of its group that are here. One that is done is only deleted.
fn is_behind<Q: Queue, H>(shared: &Shared<Q, H>, claim: &Claim, here: &HashSet<String>) -> bool {
    !claim.is_done && ordered_group(shared, &claim.message).is_some_and(|group| here.contains(group))
}

/// Sends anew what has few receives left, marks the suspicious messages, and gives back all but one before that one begins: if it kills the process, the others do
/// not pay for it with a receive. In a FIFO queue to go back would cost them a receive for certain, so they stay.
///
/// Whatever cannot be sent anew holds up the others for a while only, and is then attempted.
async fn one_suspicious<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claims: Vec<Claim>,
) -> Vec<Claim> {
    let (start, is_fifo) = (shared.capacity.slow_start(), shared.core.queue.is_fifo());
    // Where what runs is kept, a message that ends the process is known by that. Where not, only its last receive ends it.
    let limit = || shared.core.queue.receive_limit().unwrap_or(USUAL_RECEIVES);
    let known_limit = shared.process.has_records().then(limit);
    // What waits here while another message ends the process pays for it with a receive. It is sent anew with its last one but one, so that
    // an outage of the queue at that moment leaves another chance.
    let has_few = |receives| known_limit.is_some_and(|limit| receives >= limit.min(receives_of_few(limit)));
    let sorted = join_all(claims.into_iter().map(async |mut claim| {
        let may_be_sent = !claim.is_done && has_few(claim.message.receive_count);
        if may_be_sent && shared.try_to_renew(&mut claim, RETURN_OF_SUSPICIOUS).await {
            shared.done_at_once(Box::new(claim)).await;
            return None;
        }
        Some(claim)
    }));
    let mut kept = Vec::new();
    let mut released = FuturesUnordered::new();
    for mut claim in sorted.await.into_iter().flatten() {
        claim.suspect = suspect(shared, &claim);
        claim.is_suspicious = !claim.is_done && is_suspicious(&claim, known_limit);
        // Those of a FIFO queue wait for their turn, and until then nothing else needs to be careful. So does one with its last
        // receive that was just tried to be sent anew.
        let was_tried = known_limit.is_some_and(|limit| claim.message.receive_count >= limit);
        if claim.is_suspicious && start.is_careful() && !is_fifo && !was_tried {
            let why = "another message is here that may end the process";
            released.push(shared.release_after(Box::new(claim), why, RETURN_OF_SUSPICIOUS));
            continue;
        }
        if claim.is_suspicious && !start.is_careful() && !is_fifo {
            claim.caution = Some(start.be_careful());
        }
        kept.push(claim);
    }
    while let Some(back) = released.next().await {
        kept.extend(back.map(|claim| *claim));
    }
    kept
}

/// From how many receives on a message has so few left that it is sent anew before it waits here.
fn receives_of_few(limit: u32) -> u32 {
    limit.saturating_sub(1).max(SUSPICIOUS_RECEIVES)
}

/// What is known against a message.
fn suspect<Q: Queue, H>(shared: &Shared<Q, H>, Claim { message, .. }: &Claim) -> Option<Suspect> {
    // A copy that was sent anew comes for the first time, and is known all the same.
    let was_here = message.receive_count > 1 || message.recorded_attempts().is_some();
    was_here.then(|| shared.process.suspect(shared.core.queue.name(), message.identity())).flatten()
}

/// Whether a message may end the process. Where it is known what ran when one died, it is one of those, or one with its last receives,
/// which must not end with a process that another message has ended.
fn is_suspicious(claim: &Claim, known_limit: Option<u32>) -> bool {
    let last = known_limit.map_or(SUSPICIOUS_RECEIVES, receives_of_few);
    claim.suspect.is_some() || claim.message.receive_count >= last
}

/// The group of a message in which the order is kept. The groups of a standard queue have none.
fn ordered_group<'a, Q: Queue, H>(shared: &Shared<Q, H>, message: &'a Message) -> Option<&'a str> {
    message.group_id.as_deref().filter(|_| shared.core.queue.is_fifo())
}

/// The claim on a message, unless this process has the message already.
fn claim<Q: Queue, H>(shared: &Shared<Q, H>, message: Message, room: Reservation) -> Option<Claim> {
    let lease = Lease::begin(&shared.core.leases, &message, shared.core.options.visibility);
    match shared.runs.begin(&message.id, ordered_group(shared, &message), lease) {
        Ok(begun) => {
            // Now, because a delete that is under way may be confirmed before the message has its turn.
            let is_done = shared.core.finished.contains(&message.id);
            let mut claim = Claim::new(message, begun, room);
            claim.is_done = is_done;
            Some(claim)
        }
        Err(AlreadyHere) => {
            tracing::warn!(id = %message.identity(), "a message came again while it is here; its first run goes on");
            None
        }
    }
}

/// Starts what was received: the messages of a FIFO queue's group one after the other, all others at once.
fn dispatch<Q: Queue, H: MessageHandler>(
    shared: &Arc<Shared<Q, H>>,
    tasks: &TaskTracker,
    claims: Vec<Claim>,
) {
    let mut groups: HashMap<String, VecDeque<Box<Claim>>> = HashMap::new();
    // In boxes, because from here on a claim is handed on from function to function.
    for claim in claims.into_iter().map(Box::new) {
        match ordered_group(shared, &claim.message).map(str::to_owned) {
            Some(group) => groups.entry(group).or_default().push_back(claim),
            None => drop(tasks.spawn(deliver_in_order(shared.clone(), VecDeque::from([claim])))),
        }
    }
    for group in groups.into_values() {
        tasks.spawn(deliver_in_order(shared.clone(), group));
    }
}
