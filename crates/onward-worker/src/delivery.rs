use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::acknowledge::Outcome;
use crate::capacity::Reservation;
use crate::ledger::count;
use crate::queue::{Message, Queue};
use crate::shutdown::Shared;

/// What is done with a message. An async function of a [`Message`] is one.
///
/// When it returns `Ok` the message is deleted. A [`Failure`], a panic and a timeout leave it in the queue, to
/// come back later. A message may be delivered more than once, so its effect must bear repetition.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Handles one delivery.
    fn handle(&self, message: Message) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Message) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn handle(&self, message: Message) -> impl Future<Output = Result<(), Failure>> + Send {
        self(message)
    }
}

/// Why a message was not handled, and what becomes of it. Any error becomes a [`Failure::retry`] with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What becomes of the message.
    pub kind: FailureKind,
    /// Why, for the log and the dead-letter queue.
    pub reason: String,
}

/// What becomes of a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// It comes back after the worker's own delay, which grows with each attempt.
    Retry,
    /// It comes back after this delay.
    RetryAfter(Duration),
    /// It goes to the dead-letter queue at once, because trying again is pointless.
    Reject,
}

impl Failure {
    /// The message comes back after a delay that grows with each attempt.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Retry, reason: reason.to_string() }
    }

    /// The message comes back after `delay`, at most 12 hours.
    pub fn retry_after(delay: Duration, reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::RetryAfter(delay), reason: reason.to_string() }
    }

    /// The message goes to the dead-letter queue with the reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Reject, reason: reason.to_string() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// Takes messages one after the other to their outcomes. In a group none is begun before the one in front of it is
/// done: behind a failure the tail goes back, because SQS keeps it hidden until the failed one has come again.
pub(crate) async fn deliver_in_order<Q: Queue, H: Handler>(
    shared: Arc<Shared<Q, H>>,
    messages: Vec<(Message, Reservation)>,
) {
    let mut in_order = true;
    for (message, reservation) in messages {
        if shared.core.finished.holds(&message.id) {
            tracing::info!(id = %message.id, "a message that is done came back; it is deleted");
            shared.done(message);
            continue;
        }
        let handler =
            if in_order && !shared.stop.is_cancelled() { free_handler(&shared).await } else { None };
        in_order = match handler {
            Some(handler) => deliver(&shared, message, handler).await,
            None => {
                shared.release(message);
                false
            }
        };
        drop(reservation);
    }
}

/// A free handler, unless none becomes free in time or the worker stops first.
async fn free_handler<Q: Queue, H: Handler>(shared: &Shared<Q, H>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        handler = shared.capacity.handler() => handler,
        () = shared.stop.cancelled() => None,
    }
}

/// Takes one message to its outcome and says whether it is done.
async fn deliver<Q: Queue, H: Handler>(
    shared: &Shared<Q, H>,
    message: Message,
    handler: OwnedSemaphorePermit,
) -> bool {
    let span = tracing::info_span!(
        "message",
        id = %message.id,
        queue = shared.core.queue.name(),
        attempt = message.receive_count,
        trace_id = message.trace_id()
    );
    async {
        let begun = Instant::now();
        let outcome = tokio::select! {
            outcome = handled(shared, &message) => outcome,
            () = shared.abandon.cancelled() => {
                count(&shared.core.monitor.counters().abandoned, 1);
                tracing::warn!("abandoned: the grace ended before the handler; the message comes back");
                shared.core.leases.end(&message.receipt);
                return false;
            }
        };
        let took = begun.elapsed();
        shared.capacity.took(took);
        drop(handler);
        settle(shared, message, outcome, u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).await
    }
    .instrument(span)
    .await
}

/// Runs the handler; a panic and a timeout are failures like any other.
async fn handled<Q: Queue, H: Handler>(shared: &Shared<Q, H>, message: &Message) -> Result<(), Failure> {
    let limit = shared.core.options.handler_timeout;
    let handler = AssertUnwindSafe(shared.handler.handle(message.clone())).catch_unwind();
    match tokio::time::timeout(limit, handler).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Failure::retry(format!("the handler panicked: {}", panic_text(&*panic)))),
        Err(_) => Err(Failure::retry(format!("the handler took longer than {limit:?}"))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

async fn settle<Q: Queue, H: Handler>(
    shared: &Shared<Q, H>,
    message: Message,
    outcome: Result<(), Failure>,
    duration_ms: u64,
) -> bool {
    let failure = match outcome {
        Ok(()) => {
            shared.breaker.record(true, None);
            tracing::info!(duration_ms, outcome = "done", "message done");
            count(&shared.core.monitor.counters().done, 1);
            shared.done(message);
            return true;
        }
        Err(failure) => failure,
    };
    let Failure { kind, reason } = failure;
    if kind == FailureKind::Reject {
        match reject(shared, &message, &reason).await {
            Ok(()) => {
                tracing::warn!(duration_ms, outcome = "rejected", %reason, "message rejected");
                count(&shared.core.monitor.counters().rejected, 1);
                shared.breaker.probe_came_back();
                shared.done(message);
                return true;
            }
            Err(why) => tracing::error!(%reason, %why, "the message cannot be rejected, so it comes back"),
        }
    }
    let wished = match kind {
        FailureKind::RetryAfter(delay) => Some(delay),
        _ => None,
    };
    let pause = shared.breaker.record(false, wished);
    if let Some(pause) = pause {
        count(&shared.core.monitor.counters().pauses, 1);
        tracing::error!(?pause, %reason, "everything fails: nothing is received for a while, then one message is tried");
    }
    let delay = match kind {
        FailureKind::RetryAfter(delay) => delay,
        _ => shared.core.options.retry_delay(message.receive_count),
    };
    // The next probe shall be another message, so that no single one pays for the outage.
    let delay = delay.max(pause.unwrap_or_default() * 2).min(Duration::from_secs(12 * 3600));
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(duration_ms, outcome = "retried", delay_ms, %reason, "message failed");
    count(&shared.core.monitor.counters().retried, 1);
    shared.outcomes.push(Outcome::Return { receipt: message.receipt, delay });
    false
}

/// Sends the copy before the delete, so that a crash in between leaves the message twice and never not at all.
async fn reject<Q: Queue, H: Handler>(
    shared: &Shared<Q, H>,
    message: &Message,
    reason: &str,
) -> Result<(), String> {
    count(&shared.core.monitor.counters().send_calls, 1);
    match shared.core.queue.send_to_dead_letters(message, reason).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the queue has no dead-letter queue (RedrivePolicy)".to_owned()),
        Err(fault) => {
            count(&shared.core.monitor.counters().failed_calls, 1);
            Err(fault.to_string())
        }
    }
}
