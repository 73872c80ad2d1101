use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::activity::Parts;
use crate::breaker::Breaker;
use crate::capacity::Capacity;
use crate::error::QueueError;
use crate::handler::MessageHandler;
use crate::ledger::{Ledger, count};
use crate::monitor::Monitor;
use crate::options::Options;
use crate::outcome::{Lanes, lanes};
use crate::parking::Parking;
use crate::process::Process;
use crate::queue::Queue;
use crate::shared::{Core, Shared};
use crate::{acknowledge, intake, renewal};

/// How long the last deletes and releases may take where the queue does not accept them.
pub const FLUSH: Duration = Duration::from_secs(10);

/// Works the queue until `shutdown` completes, then stops in order and returns what became of every message.
///
/// The stop:
///
/// 1. No new poll begins. The worker awaits a poll that is open and does not cut it off: SQS may have given it messages
///    already, which would then be hidden until their visibility timeout ends.
/// 2. When no poll is open any more, the worker releases what they brought, for another worker. Before that it would receive it
///    again itself.
/// 3. Messages that wait here for their next attempt go back, each with the rest of its delay. Running handlers have the
///    grace to end. The worker abandons those that have not ended by then, and gives their messages back: at once, unless they have come
///    several times.
/// 4. The worker sends the last deletes and releases, for ten seconds more at the most.
///
/// ```
/// use onward_worker::{Failure, MemoryQueue, Message, Options, run};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let queue = MemoryQueue::new();
/// queue.send("hello");
/// let (done, is_done) = tokio::sync::oneshot::channel();
/// let done = std::sync::Arc::new(std::sync::Mutex::new(Some(done)));
/// let handler = move |message: Message| {
///     let done = done.lock().unwrap().take();
///     async move {
///         assert_eq!(message.body, "hello");
///         done.map(|done| done.send(()));
///         Ok::<_, Failure>(())
///     }
/// };
/// let shutdown = async { is_done.await.unwrap() };
/// let options = Options { wait: std::time::Duration::from_millis(100), ..Options::default() };
/// let ledger = run(queue, handler, options, shutdown).await.unwrap();
/// assert_eq!(ledger.done, 1);
/// # });
/// ```
///
/// # Errors
///
/// If the queue cannot be read when the worker starts: at once if it does not exist or the credentials do not allow it, after ten
/// seconds if it cannot be reached. Once one poll has succeeded, no error ends the worker.
///
/// # Panics
///
/// If the options are out of range; see [`Options::validate`].
pub async fn run<Q: Queue, H: MessageHandler>(
    queue: Q,
    handler: H,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Ledger, QueueError> {
    run_monitored(queue, handler, options, Monitor::default(), shutdown).await
}

/// As [`run`], with a [`Monitor`] that shows the worker's progress meanwhile.
///
/// # Errors
///
/// As [`run`].
///
/// # Panics
///
/// As [`run`].
pub async fn run_monitored<Q: Queue, H: MessageHandler>(
    queue: Q,
    handler: H,
    options: Options,
    monitor: Monitor,
    shutdown: impl Future<Output = ()>,
) -> Result<Ledger, QueueError> {
    run_in(&Process::default(), queue, handler, options, monitor, shutdown).await
}

/// As [`run_monitored`], beside other workers of the same process.
///
/// # Errors
///
/// As [`run`].
///
/// # Panics
///
/// As [`run`].
pub async fn run_in<Q: Queue, H: MessageHandler>(
    process: &Process,
    queue: Q,
    handler: H,
    options: Options,
    monitor: Monitor,
    shutdown: impl Future<Output = ()>,
) -> Result<Ledger, QueueError> {
    options.validate().expect("the options are in range");
    let (shared, lanes) = prepare(process, queue, handler, options, monitor);
    let core = shared.core.clone();
    let acknowledging = AbortOnDropHandle::new(tokio::spawn(acknowledge::run(core.clone(), lanes)));
    let _renewing = AbortOnDropHandle::new(tokio::spawn(renewal::run(core.clone())));
    let tasks = TaskTracker::new();
    // A task of its own, because the thread that waits for `run` may be none of the runtime's workers.
    let mut polling = AbortOnDropHandle::new(tokio::spawn(intake::poll(shared.clone(), tasks.clone())));

    let error = tokio::select! {
        ended = &mut polling => ended.unwrap_or_else(|error| resume_unwind(error.into_panic())).err(),
        () = shutdown => None,
    };
    let (running, parked) = (tasks.len(), shared.parking.messages());
    tracing::info!(running, parked, "stopping: no new messages");
    shared.stop.cancel();
    shared.outcomes.end_window();
    tasks.close();
    drain(&shared, error.is_none().then_some(polling), &tasks).await;
    // The lanes end when the last sender is gone.
    drop(shared);
    flush(&core, acknowledging).await;
    error.map_or_else(|| Ok(core.monitor.ledger()), Err)
}

fn prepare<Q: Queue, H: MessageHandler>(
    process: &Process,
    queue: Q,
    handler: H,
    options: Options,
    monitor: Monitor,
) -> (Arc<Shared<Q, H>>, Lanes) {
    // The group of a FIFO queue is closed until the delete.
    let window = if queue.is_fifo() { Duration::ZERO } else { options.batching_window };
    let (outcomes, lanes) = lanes(window);
    let finished = Arc::default();
    process.join(&finished, &lanes.deletes);
    let shared = Shared {
        capacity: Capacity::new(options.concurrency, process.clone()),
        parking: Parking::new(options.max_parked),
        breaker: Breaker::new(&options),
        runs: Arc::default(),
        process: process.clone(),
        unsendable: Mutex::default(),
        core: Arc::new(Core { queue, options, monitor, leases: Arc::default(), finished }),
        handler,
        outcomes,
        stop: CancellationToken::new(),
        polls_ended: CancellationToken::new(),
        abandon: CancellationToken::new(),
    };
    shared.core.monitor.watch(Parts {
        capacity: shared.capacity.clone(),
        parking: shared.parking.clone(),
        breaker: shared.breaker.clone(),
        leases: shared.core.leases.clone(),
    });
    (Arc::new(shared), lanes)
}

/// Awaits the open polls and the running handlers, and abandons the handlers when the grace has ended.
async fn drain<Q, H>(
    shared: &Shared<Q, H>,
    polling: Option<AbortOnDropHandle<Result<(), QueueError>>>,
    tasks: &TaskTracker,
) {
    let ended = async {
        if let Some(polling) = polling {
            // An error now changes nothing: the poll has ended and brought nothing.
            let _ = polling.await;
        }
        tasks.wait().await;
    };
    if tokio::time::timeout(shared.core.options.grace, ended).await.is_err() {
        shared.abandon.cancel();
        tasks.wait().await;
    }
}

/// Waits until the queue has answered the last outcomes, as long as that may take.
async fn flush<Q>(core: &Core<Q>, mut acknowledging: AbortOnDropHandle<()>) {
    match tokio::time::timeout(FLUSH, &mut acknowledging).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the task that acknowledges failed"),
        Err(_) => {
            let messages = core.finished.in_doubt();
            count(&core.monitor.counters().undeleted, messages);
            match messages {
                0 => tracing::error!(
                    "the last messages that go back were not confirmed in time; they come back when their leases end"
                ),
                _ => tracing::error!(
                    messages,
                    "not deleted in time; they come back, and what was handled is handled again"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::delivery::deliver_in_order;
    use crate::handler::Failure;
    use crate::message::Message;
    use crate::queue::sqs::Sqs;

    /// A task is moved several times before it runs, and a call of the SDK is tens of kilobytes. One that stands in the task, be it the call of
    /// a rare failure, costs each message more than all else.
    #[test]
    fn the_tasks_hold_no_call_of_the_sdk() {
        let handler = |_: Message| async { Ok::<_, Failure>(()) };
        let (process, options) = (Process::default(), Options::default());
        let (shared, lanes) = prepare(&process, Sqs::nowhere(), handler, options, Monitor::default());
        let core = shared.core.clone();
        let sizes = [
            ("deliver_in_order", size_of_val(&deliver_in_order(shared.clone(), VecDeque::new()))),
            ("intake::poll", size_of_val(&intake::poll(shared, TaskTracker::new()))),
            ("acknowledge::run", size_of_val(&acknowledge::run(core.clone(), lanes))),
            ("renewal::run", size_of_val(&renewal::run(core))),
        ];
        assert!(sizes.iter().all(|(_, bytes)| *bytes < 2048), "bytes: {sizes:?}");
    }

    #[test]
    fn the_task_of_a_message_holds_what_its_handler_holds_once() {
        fn task<F>(kept: fn() -> F) -> usize
        where
            F: Copy + Send + 'static,
        {
            let handler = move |_: Message| async move {
                let kept = kept();
                tokio::task::yield_now().await;
                std::hint::black_box(kept);
                Ok::<_, Failure>(())
            };
            let (process, options) = (Process::default(), Options::default());
            let (shared, _lanes) = prepare(&process, Sqs::nowhere(), handler, options, Monitor::default());
            size_of_val(&deliver_in_order(shared, VecDeque::new()))
        }
        const KEPT: usize = 16_384;
        let more = task(|| [0_u8; KEPT]) - task(|| [0_u8; 0]);
        assert!((KEPT..KEPT * 3 / 2).contains(&more), "{more} bytes more");
    }
}
