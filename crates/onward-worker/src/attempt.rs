use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{self, Either};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::claim::Claim;
use crate::crashes::{self, Running};
use crate::handler::{Failure, FailureKind, MessageHandler};
use crate::message::Message;
use crate::queue::Queue;
use crate::shared::Shared;
use crate::turn::Turn;

/// How long a suspicious message runs alone: then it is a long one rather than one that kills the process.
const MAX_ALONE: Duration = Duration::from_secs(30);

/// How an attempt has ended.
pub(crate) enum Attempted {
    /// The handler has returned, has panicked or has timed out.
    Ended(Result<(), Failure>),
    /// The grace of the stop has ended first.
    Abandoned,
}

/// Runs the handler once, in its turn.
pub(crate) async fn attempt<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    turn: &mut Turn<'_>,
    handler: OwnedSemaphorePermit,
) -> Attempted {
    if let Some(times) = claim.suspect.as_ref().map(|suspect| suspect.alone)
        && times >= crashes::MOST
    {
        claim.trust();
        turn.let_others_run();
        let reason = format!("the process ended {times} times while only this message ran");
        return Attempted::Ended(Err(Failure::reject(reason)));
    }
    let was_alone = turn.is_alone();
    let running = shared.process.running(shared.core.queue.name(), claim.message.identity(), was_alone);
    let ended = tokio::select! {
        // A handler that has ended counts, also if the grace ends at the same moment.
        biased;
        outcome = run(shared, claim, turn, running.as_ref()) => Attempted::Ended(outcome),
        () = shared.abandon.cancelled() => Attempted::Abandoned,
    };
    drop(running);
    // One that waits for others that run here would keep them from beginning, again and again.
    if !(was_alone && matches!(&ended, Attempted::Ended(outcome) if is_postponed(outcome))) {
        claim.trust();
        claim.clear_suspect();
    }
    drop(handler);
    ended
}

/// Whether the handler did not run, so that the process has not survived it.
pub(crate) fn is_postponed(outcome: &Result<(), Failure>) -> bool {
    outcome.as_ref().is_err_and(|failure| matches!(failure.kind, FailureKind::Postpone(_)))
}

async fn run<Q: Queue, H: MessageHandler>(
    shared: &Shared<Q, H>,
    claim: &mut Claim,
    turn: &mut Turn<'_>,
    running: Option<&Running>,
) -> Result<(), Failure> {
    let message = Message { attempt: claim.failed_attempts().saturating_add(1), ..claim.message.clone() };
    claim.lease.progress().runs(message.attempt);
    let begun = Instant::now();
    let mut handled = pin!(handle_once(&shared.handler, message, shared.core.options.handler_timeout));
    let outcome = if turn.is_alone() {
        match timeout(MAX_ALONE, &mut handled).await {
            Ok(outcome) => outcome,
            Err(_) => {
                claim.trust();
                claim.clear_suspect();
                if let Some(running) = running {
                    running.is_beside_others();
                }
                turn.let_others_run();
                handled.await
            }
        }
    } else {
        handled.await
    };
    turn.let_others_run();
    shared.capacity.took(begun.elapsed());
    outcome
}

/// Runs a handler once, as a worker does: a panic and a timeout are failures like any other. For tests of a handler.
///
/// ```
/// use std::time::Duration;
/// use onward_worker::{Failure, Message, handle_once};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// async fn panics(_: Message) -> Result<(), Failure> {
///     panic!("no number 7")
/// }
/// let failure = handle_once(&panics, Message::default(), Duration::from_secs(1)).await.unwrap_err();
/// assert_eq!(failure.reason, "the handler panicked: no number 7");
/// # });
/// ```
///
/// The handler is called at once, not only when the result is awaited, and `limit` counts from then.
///
/// # Errors
///
/// As the handler, or if it panics or takes longer than `limit`.
///
/// # Panics
///
/// Outside a Tokio runtime.
pub fn handle_once<H: MessageHandler>(
    handler: &H,
    message: Message,
    limit: Duration,
) -> impl Future<Output = Result<(), Failure>> + Send {
    // No async block: it would keep what it has captured beside what it awaits, in the task of every message.
    let handling = match catch_unwind(AssertUnwindSafe(|| handler.handle(message))) {
        Ok(handling) => timeout(limit, AssertUnwindSafe(handling).catch_unwind()),
        Err(panic) => return Either::Right(future::ready(Err(panicked(panic)))),
    };
    Either::Left(handling.map(move |ended| match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(panicked(panic)),
        Err(_) => Err(Failure::retry(format!("the handler took longer than {limit:?}"))),
    }))
}

fn panicked(panic: Box<dyn Any + Send>) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::retry(format!("the handler panicked: {}", text.unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use super::*;

    /// A handler need not be an async function: what it does before it returns its future can panic, too.
    #[tokio::test]
    async fn a_panic_before_the_future_is_a_failure_like_any_other() {
        let handler = |message: Message| -> Ready<Result<(), Failure>> {
            assert!(message.body.is_empty(), "there is no number 7");
            ready(Ok(()))
        };
        let limit = Duration::from_secs(1);
        assert_eq!(handle_once(&handler, Message::default(), limit).await, Ok(()));
        let message = Message { body: "7".to_owned(), ..Message::default() };
        let failure = handle_once(&handler, message, limit).await.expect_err("panics");
        assert_eq!(failure.reason, "the handler panicked: there is no number 7");
    }
}
