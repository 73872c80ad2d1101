use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::attempt::{Attempted, attempt, is_postponed};
use crate::breaker::Ended;
use crate::claim::{Claim, with_tail};
use crate::handler::{Failure, FailureKind, MessageHandler};
use crate::ledger::count;
use crate::progress::Place;
use crate::queue::{Death, Queue};
use crate::retry::{Failed, Next, next, patience};
use crate::shared::Shared;
use crate::turn::Turn;

/// What became of one message of a group.
enum Delivered {
    /// It is done or a dead letter, so the next one of its group may start.
    Done,
    /// It went back to the queue and comes back after this delay; those behind it must not come before it.
    Returned(Duration),
    /// The queue has given it to another worker.
    Lost,
}

/// Takes messages one after the other to their outcomes. In a group none starts before the one in front of it is done: the
/// tail waits here while its head waits for another attempt, and goes back behind a head that goes back.
pub(crate) async fn deliver_in_order<Q: Queue, H: MessageHandler>(
    shared: Arc<Shared<Q, H>>,
    mut group: VecDeque<Box<Claim>>,
) {
    let mut turn = Turn::None;
    while let Some(claim) = group.pop_front() {
        match deliver(&shared, claim, &mut turn, group.make_contiguous()).await {
            Delivered::Done => {}
            Delivered::Returned(delay) => return give_back_tail(&shared, group, delay).await,
            Delivered::Lost => return give_back_tail(&shared, group, Duration::ZERO).await,
        }
    }
}

/// The tail comes back a second later than its head, so that a server whose groups open with any visible message keeps the
/// order, too. SQS keeps the tail hidden until the head has come back.
async fn give_back_tail<Q: Queue, H>(shared: &Shared<Q, H>, tail: VecDeque<Box<Claim>>, head: Duration) {
    let delay = if head.is_zero() { head } else { head + Duration::from_secs(1) };
    for claim in tail {
        count(&shared.core.monitor.counters().released, 1);
        // Only a standard queue, which has no groups, keeps one here.
        let _gone = shared.give_back(claim, delay).await;
    }
}

/// Takes one message to its outcome, by as many attempts as its budget allows.
async fn deliver<'a, Q: Queue, H: MessageHandler>(
    shared: &'a Shared<Q, H>,
    mut claim: Box<Claim>,
    turn: &mut Turn<'a>,
    tail: &mut [Box<Claim>],
) -> Delivered {
    loop {
        if claim.is_done || shared.core.finished.contains(&claim.message.id) {
            tracing::info!(id = %claim.message.identity(), "a message that is done came back; the worker deletes it");
            shared.done(claim);
            return Delivered::Done;
        }
        let Some(handler) = its_turn(shared, &mut claim, turn, tail).await else {
            let why = if shared.stop.is_cancelled() {
                "the worker stops"
            } else {
                "no handler became free in time"
            };
            turn.give_up();
            match shared.release(claim, why).await {
                Ok(delay) => return Delivered::Returned(delay),
                Err(kept) => claim = kept,
            }
            hold(shared, &mut claim, Duration::ZERO).await;
            continue;
        };
        if !claim.is_held() {
            tracing::warn!(id = %claim.message.identity(), "the lease of a message ended before its attempt");
            return Delivered::Lost;
        }
        let span = tracing::info_span!(
            "message",
            id = %claim.message.identity(),
            queue = shared.core.queue.name(),
            attempt = claim.failed_attempts().saturating_add(1),
            trace_id = claim.message.trace_id()
        );
        let tried = try_once(shared, &mut claim, turn, tail, handler).instrument(span.clone()).await;
        claim.catch_up();
        let waited = match tried {
            Tried::Done => {
                claim.clear_suspect();
                shared.done(claim);
                return Delivered::Done;
            }
            Tried::Abandoned => Err(Duration::ZERO),
            // A wait is long, and an outage of the queue or an end of the process in it would cost one of the last receives.
            Tried::Again(delay) if shared.renew(&claim, delay).await => {
                shared.done(claim);
                return Delivered::Done;
            }
            Tried::Again(delay) => {
                turn.give_up();
                wait(shared, &mut claim, tail, delay).await
            }
            Tried::Return(delay) => Err(delay),
        };
        if let Err(left) = waited {
            claim.catch_up();
            let is_abandoned = shared.abandon.is_cancelled();
            let least =
                if is_abandoned { shared.delay_of_return(&mut claim) } else { shared.least_delay(&claim) };
            let delay = left.max(least);
            // It may take long until it can be sent anew, and others may have to run alone.
            turn.give_up();
            match shared.give_back(claim, delay).await {
                Ok(()) => {
                    tracing::info!(parent: &span, delay_ms = milliseconds(delay), "message goes back to the queue");
                    return Delivered::Returned(delay);
                }
                Err(kept) => claim = kept,
            }
            hold(shared, &mut claim, delay).await;
        }
    }
}

/// Waits here, also where there is no room: to go back to the queue would be the message's death.
async fn hold<Q: Queue, H>(shared: &Shared<Q, H>, claim: &mut Claim, delay: Duration) {
    claim.has_waited = true;
    let until = Instant::now() + delay;
    claim.lease.progress().moves_to(Place::Parked { until });
    tokio::select! {
        () = tokio::time::sleep_until(until) => {}
        () = shared.stop.cancelled() => {}
    }
    claim.lease.progress().moves_to(Place::Waiting);
    claim.reservation = Some(shared.capacity.reserve_again());
}

/// The right to run and a free handler. The handler comes second: whoever waits for the end of all others must not take one
/// from them.
async fn its_turn<'a, Q: Queue, H: MessageHandler>(
    shared: &'a Shared<Q, H>,
    claim: &mut Claim,
    turn: &mut Turn<'a>,
    tail: &mut [Box<Claim>],
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = turn.take(shared, claim, tail) => free_handler(shared, claim).await,
        () = shared.stop.cancelled() => None,
    }
}

/// A free handler, unless none becomes free in time or the worker stops first. A message that was here for an attempt, its own or that of
/// the head of its group, waits as long as it takes.
async fn free_handler<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &Claim,
) -> Option<OwnedSemaphorePermit> {
    if shared.stop.is_cancelled() {
        return None;
    }
    let was_here = claim.failed > 0 || claim.has_waited;
    let patience = if was_here { Duration::MAX } else { patience(claim.message.receive_count) };
    tokio::select! {
        biased;
        handler = shared.capacity.handler(patience) => handler,
        () = shared.stop.cancelled() => None,
    }
}

/// What an attempt means for the message.
enum Tried {
    Done,
    Abandoned,
    /// It is tried again after the delay, here if that can be.
    Again(Duration),
    /// It goes back to the queue for at least this time.
    Return(Duration),
}

async fn try_once<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    turn: &mut Turn<'_>,
    tail: &[Box<Claim>],
    handler: OwnedSemaphorePermit,
) -> Tried {
    let begun = Instant::now();
    let outcome = match attempt(shared, claim, turn, handler).await {
        Attempted::Ended(outcome) => outcome,
        Attempted::Abandoned => {
            count(&shared.core.monitor.counters().abandoned, 1);
            tracing::warn!("abandoned: the grace ended before the handler; the message is given back");
            return Tried::Abandoned;
        }
    };
    let duration = begun.elapsed();
    if !is_postponed(&outcome) {
        shared.core.monitor.durations().add(duration);
    }
    let duration_ms = milliseconds(duration);
    match outcome {
        Ok(()) => {
            shared.capacity.slow_start().succeeded();
            record(shared, claim, tail, true);
            tracing::info!(duration_ms, outcome = "done", "message done");
            count(&shared.core.monitor.counters().done, 1);
            Tried::Done
        }
        Err(failure) => Box::pin(failed(shared, claim, tail, failure, duration_ms)).await,
    }
}

async fn failed<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    tail: &[Box<Claim>],
    Failure { kind, reason, .. }: Failure,
    duration_ms: u64,
) -> Tried {
    if let FailureKind::Postpone(_) = kind {
        let decided = next(&shared.core.options, kind, Failed::default(), claim.age());
        let Next::Again(delay) = decided else { unreachable!() };
        tracing::info!(delay_ms = milliseconds(delay), %reason, "message postponed");
        // Its handler did not run, so this tells the breaker nothing.
        (claim.probe, claim.caution) = (None, None);
        return Tried::Again(delay);
    }
    claim.failed = claim.failed.saturating_add(1);
    let (attempts, counters) = (claim.failed_attempts(), shared.core.monitor.counters());
    let failed = Failed { all: attempts, certain: claim.certain_attempts() };
    let mut decided = next(&shared.core.options, kind, failed, claim.age());
    if let Next::Reject | Next::GiveUp = decided {
        match bury(shared, claim, &reason, attempts).await {
            Ok(()) if decided == Next::Reject => {
                tracing::warn!(duration_ms, outcome = "rejected", %reason, "message rejected");
                count(&counters.rejected, 1);
            }
            Ok(()) => {
                tracing::error!(duration_ms, outcome = "given_up", attempts, %reason, "message given up: it is a dead letter");
                count(&counters.given_up, 1);
            }
            Err(Unburied { why, may_pass }) => {
                tracing::error!(%reason, %why, "the message cannot go to the dead-letter queue, so it comes back");
                let options = &shared.core.options;
                let delay =
                    if may_pass { options.backoff().delay(claim.failed) } else { options.max_backoff };
                decided = Next::Again(delay);
            }
        }
    }
    match decided {
        Next::Again(delay) => {
            let delay_ms = milliseconds(delay);
            tracing::warn!(duration_ms, outcome = "retried", delay_ms, %reason, "message failed");
            count(&counters.retried, 1);
            if !kind.is_of_the_world() {
                // The message is at fault, which tells the breaker nothing.
                claim.probe = None;
                return Tried::Again(delay);
            }
            if let Some(pause) = record(shared, claim, tail, false) {
                count(&counters.pauses, 1);
                tracing::error!(
                    ?pause,
                    %reason,
                    "every message fails and no more can wait here: the worker receives nothing for a while, then tries one"
                );
                // The next probe must be another message, so that no single one pays for the outage.
                return Tried::Return(delay.max(pause * 4));
            }
            Tried::Again(delay)
        }
        Next::Reject | Next::GiveUp => {
            // The message was at fault, which tells nothing about the others.
            claim.probe = None;
            Tried::Done
        }
    }
}

/// Tells the breaker how an attempt has ended.
fn record<Q, H>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    tail: &[Box<Claim>],
    is_done: bool,
) -> Option<Duration> {
    let probe = claim.probe.take();
    let (messages, bytes) = extent(claim, tail);
    let is_full = !shared.parking.has_room(messages, bytes);
    shared.breaker.record(Ended { is_done, is_probe: probe.is_some(), is_full })
}

/// Why a message did not get to the dead letters.
struct Unburied {
    why: String,
    may_pass: bool,
}

/// How often a letter is sent before the message is tried again, with its handler.
const LETTER_TRIES: u32 = 4;

/// Sends the copy before the delete, so that a crash in between leaves the message twice and never loses it.
async fn bury<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &Claim,
    reason: &str,
    attempts: u32,
) -> Result<(), Unburied> {
    let message = &claim.message;
    let death = Death {
        reason: reason.to_owned(),
        attempts,
        first: Some(claim.first_received()),
        last: SystemTime::now(),
    };
    let mut failures = 0;
    loop {
        count(&shared.core.monitor.counters().send_calls, 1);
        let error = tokio::select! {
            sent = shared.core.queue.send_to_dead_letters(message, &death) => match sent {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let why = "the queue has no dead-letter queue (RedrivePolicy)".to_owned();
                    return Err(Unburied { why, may_pass: false });
                }
                Err(error) => error,
            },
            () = shared.abandon.cancelled() => {
                return Err(Unburied { why: "the grace of the stop has ended".to_owned(), may_pass: true });
            }
        };
        count(&shared.core.monitor.counters().failed_calls, 1);
        failures += 1;
        let may_pass = error.may_pass();
        if !may_pass || failures >= LETTER_TRIES || !claim.lease.is_held() {
            return Err(Unburied { why: error.to_string(), may_pass });
        }
        shared.pause(failures).await;
    }
}

/// Waits here for the next attempt, with the tail of the group. An error is the rest of the delay of a message that cannot
/// wait here: there is no room, its longest lease would end first, or the worker stops.
async fn wait<Q: Queue, H>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    tail: &mut [Box<Claim>],
    delay: Duration,
) -> Result<(), Duration> {
    let options = &shared.core.options;
    let needed = claim.held_for().saturating_add(delay).saturating_add(options.handler_timeout);
    let (messages, bytes) = extent(claim, tail);
    let spot = shared.parking.take(messages, bytes).filter(|_| needed < options.max_lease);
    let Some(_spot) = spot else { return Err(delay) };
    // What waits takes no handler's place.
    for waiting in with_tail(claim, tail) {
        (waiting.reservation, waiting.has_waited) = (None, true);
    }
    let until = Instant::now() + delay;
    claim.lease.progress().moves_to(Place::Parked { until });
    tokio::select! {
        () = tokio::time::sleep_until(until) => {
            claim.lease.progress().moves_to(Place::Waiting);
            for waiting in with_tail(claim, tail) {
                waiting.reservation = Some(shared.capacity.reserve_again());
            }
            Ok(())
        }
        () = shared.stop.cancelled() => Err(until.saturating_duration_since(Instant::now())),
    }
}

/// How many messages wait together, and their bytes.
fn extent(claim: &Claim, tail: &[Box<Claim>]) -> (usize, usize) {
    let bytes = claim.message.size() + tail.iter().map(|claim| claim.message.size()).sum::<usize>();
    (1 + tail.len(), bytes)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
