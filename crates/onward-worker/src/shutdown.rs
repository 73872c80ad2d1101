use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::acknowledge::{self, Finished, Outcome, Outcomes};
use crate::breaker::Breaker;
use crate::capacity::Capacity;
use crate::delivery::Handler;
use crate::fault::Fault;
use crate::intake;
use crate::lease::{self, Leases};
use crate::ledger::{Ledger, count};
use crate::monitor::Monitor;
use crate::options::Options;
use crate::queue::{Message, Queue};

/// How long the last deletes and releases may take, where the queue does not take them.
const FLUSH: Duration = Duration::from_secs(10);

/// What every part of a worker knows.
#[derive(Debug)]
pub(crate) struct Core<Q> {
    pub queue: Q,
    pub options: Options,
    pub monitor: Monitor,
    pub leases: Leases,
    pub finished: Finished,
}

/// What intake and deliveries know besides.
#[derive(Debug)]
pub(crate) struct Shared<Q, H> {
    pub core: Arc<Core<Q>>,
    pub handler: H,
    pub outcomes: Outcomes,
    pub capacity: Arc<Capacity>,
    pub breaker: Breaker,
    /// Cancelled when the worker is told to stop.
    pub stop: CancellationToken,
    /// Cancelled when the grace has ended.
    pub abandon: CancellationToken,
}

impl<Q, H> Shared<Q, H> {
    /// A message was not begun: it goes back at once, for another worker or a later poll.
    pub(crate) fn release(&self, message: Message) {
        count(&self.core.monitor.counters().released, 1);
        self.outcomes.push(Outcome::Return { receipt: message.receipt, delay: Duration::ZERO });
    }

    /// A message is done: it is deleted, and until then known not to be handled again.
    pub(crate) fn done(&self, Message { id, receipt, .. }: Message) {
        self.core.finished.remember(&id);
        self.outcomes.push(Outcome::Delete { id, receipt });
    }
}

/// Works the queue until `shutdown` completes, then stops in order and says what became of every message.
///
/// The stop:
///
/// 1. No new poll begins. A poll that is open is awaited, not cut off, because SQS may already have given it
///    messages, which would then be hidden until their visibility ends.
/// 2. What such a poll brings is released at once, for another worker.
/// 3. Running handlers have the grace to end; what has not ended then is abandoned, and comes back.
/// 4. The last deletes and releases are sent, for ten seconds more at the most.
///
/// # Errors
///
/// If the queue cannot be read when the worker starts. Once one poll has succeeded, no error ends the worker.
///
/// # Panics
///
/// If the options are out of range; see [`Options::validate`].
pub async fn run<Q: Queue, H: Handler>(
    queue: Q,
    handler: H,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> Result<Ledger, Fault> {
    run_monitored(queue, handler, options, Monitor::default(), shutdown).await
}

/// As [`run`], with a [`Monitor`] that shows meanwhile how it goes.
///
/// # Errors
///
/// As [`run`].
///
/// # Panics
///
/// As [`run`].
pub async fn run_monitored<Q: Queue, H: Handler>(
    queue: Q,
    handler: H,
    options: Options,
    monitor: Monitor,
    shutdown: impl Future<Output = ()>,
) -> Result<Ledger, Fault> {
    options.validate().expect("the options are in range");
    let (outcomes, lanes) = acknowledge::lanes();
    let capacity = Capacity::new(options.concurrency);
    let breaker = Breaker::new(&options);
    let core =
        Arc::new(Core { queue, options, monitor, leases: Leases::default(), finished: Finished::default() });
    let abandon = CancellationToken::new();
    let stop = CancellationToken::new();
    let shared = Arc::new(Shared {
        core: core.clone(),
        handler,
        outcomes,
        capacity,
        breaker,
        stop: stop.clone(),
        abandon,
    });

    let mut acknowledging = AbortOnDropHandle::new(tokio::spawn(acknowledge::run(core.clone(), lanes)));
    let leasing = AbortOnDropHandle::new(tokio::spawn(lease::keep(core.clone())));
    let tasks = TaskTracker::new();
    let mut polling = Box::pin(intake::poll(shared.clone(), &tasks));
    let fault = tokio::select! {
        ended = &mut polling => ended.err(),
        () = shutdown => None,
    };

    tracing::info!(running = tasks.len(), "stopping: no new messages");
    stop.cancel();
    tasks.close();
    let drain = async {
        if fault.is_none() {
            // A fault on the way out changes nothing: the poll has ended and brought nothing.
            let _ = polling.await;
        } else {
            drop(polling);
        }
        tasks.wait().await;
    };
    if tokio::time::timeout(core.options.grace, drain).await.is_err() {
        shared.abandon.cancel();
        tasks.wait().await;
    }
    // The lanes end when the last sender is gone.
    drop(shared);
    match tokio::time::timeout(FLUSH, &mut acknowledging).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the task that acknowledges failed"),
        Err(_) => {
            let messages = core.finished.in_doubt();
            count(&core.monitor.counters().undeleted, messages);
            tracing::error!(messages, "done and not deleted in time; they come back and are handled again");
        }
    }
    drop(leasing);
    match fault {
        Some(fault) => Err(fault),
        None => Ok(core.monitor.ledger()),
    }
}
