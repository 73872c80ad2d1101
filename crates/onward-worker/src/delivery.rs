use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::handler::{Failure, FailureKind, MessageHandler};
use crate::ledger::count;
use crate::outcome::Outcome;
use crate::queue::{Message, Queue};
use crate::shared::{Claim, Shared};

/// Takes messages one after the other to their outcomes. In a group none starts before the one in front of it is
/// done: behind a failure the worker releases the tail, because SQS keeps it hidden until the failed one has come again.
pub(crate) async fn deliver_in_order<Q: Queue, H: MessageHandler>(
    shared: Arc<Shared<Q, H>>,
    claims: Vec<Claim>,
) {
    let mut in_order = true;
    for claim in claims {
        if shared.core.finished.contains(&claim.message.id) {
            tracing::info!(id = %claim.message.id, "a message that is done came back; the worker deletes it");
            shared.done(claim);
            continue;
        }
        let handler =
            if in_order && !shared.stop.is_cancelled() { free_handler(&shared).await } else { None };
        in_order = match handler {
            Some(handler) => deliver(&shared, claim, handler).await,
            None => {
                shared.release(claim);
                false
            }
        };
    }
}

/// A free handler, unless none becomes free in time or the worker stops first.
async fn free_handler<Q: Queue, H: MessageHandler>(shared: &Shared<Q, H>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        handler = shared.capacity.handler() => handler,
        () = shared.stop.cancelled() => None,
    }
}

/// Takes one message to its outcome and says whether it is done.
async fn deliver<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: Claim,
    handler: OwnedSemaphorePermit,
) -> bool {
    let span = tracing::info_span!(
        "message",
        id = %claim.message.id,
        queue = shared.core.queue.name(),
        attempt = claim.message.receive_count,
        trace_id = claim.message.trace_id()
    );
    async {
        let begun = Instant::now();
        let outcome = tokio::select! {
            outcome = handled(shared, &claim.message) => outcome,
            () = shared.abandon.cancelled() => {
                count(&shared.core.monitor.counters().abandoned, 1);
                tracing::warn!("abandoned: the grace ended before the handler; the message comes back");
                return false;
            }
        };
        let took = begun.elapsed();
        shared.capacity.took(took);
        drop(handler);
        settle(shared, claim, outcome, u64::try_from(took.as_millis()).unwrap_or(u64::MAX)).await
    }
    .instrument(span)
    .await
}

/// Runs the handler. A panic and a timeout are failures like any other.
async fn handled<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    message: &Message,
) -> Result<(), Failure> {
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

async fn settle<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: Claim,
    outcome: Result<(), Failure>,
    duration_ms: u64,
) -> bool {
    let failure = match outcome {
        Ok(()) => {
            shared.breaker.record(true, None);
            tracing::info!(duration_ms, outcome = "done", "message done");
            count(&shared.core.monitor.counters().done, 1);
            shared.done(claim);
            return true;
        }
        Err(failure) => failure,
    };
    let Failure { kind, reason } = failure;
    if kind == FailureKind::Reject {
        match reject(shared, &claim.message, &reason).await {
            Ok(()) => {
                tracing::warn!(duration_ms, outcome = "rejected", %reason, "message rejected");
                count(&shared.core.monitor.counters().rejected, 1);
                shared.breaker.probe_came_back();
                shared.done(claim);
                return true;
            }
            Err(why) => {
                tracing::error!(%reason, %why, "the message cannot go to the dead-letter queue, so it comes back")
            }
        }
    }
    let wished = match kind {
        FailureKind::RetryAfter(delay) => Some(delay),
        _ => None,
    };
    let pause = shared.breaker.record(false, wished);
    if let Some(pause) = pause {
        count(&shared.core.monitor.counters().pauses, 1);
        tracing::error!(?pause, %reason, "every message fails: the worker receives nothing for a while, then tries one");
    }
    let delay = match kind {
        FailureKind::RetryAfter(delay) => delay,
        _ => shared.core.options.backoff().delay(claim.message.receive_count),
    };
    // The next probe must be another message, so that no single one pays for the outage.
    let delay = delay.max(pause.unwrap_or_default() * 2).min(Duration::from_secs(12 * 3600));
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    tracing::warn!(duration_ms, outcome = "retried", delay_ms, %reason, "message failed");
    count(&shared.core.monitor.counters().retried, 1);
    shared.outcomes.push(Outcome::Return { lease: claim.lease, delay });
    false
}

/// Sends the copy before the delete, so that a crash in between leaves the message twice and never loses it.
async fn reject<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    message: &Message,
    reason: &str,
) -> Result<(), String> {
    count(&shared.core.monitor.counters().send_calls, 1);
    match shared.core.queue.send_to_dead_letters(message, reason).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the queue has no dead-letter queue (RedrivePolicy)".to_owned()),
        Err(error) => {
            count(&shared.core.monitor.counters().failed_calls, 1);
            Err(error.to_string())
        }
    }
}
