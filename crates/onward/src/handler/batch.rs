//! Handlers that take several messages at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use onward_worker::Failure;
use tokio::sync::{Notify, oneshot};
use tracing::Instrument as _;

/// How many messages a batch handler takes at once, and how long a batch waits to be full: [`Queue::batch_handler`].
///
/// ```
/// use std::time::Duration;
/// use onward::Batch;
///
/// let batch = Batch::of(100).within(Duration::from_millis(200));
/// ```
///
/// [`Queue::batch_handler`]: crate::Queue::batch_handler
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub(crate) most: usize,
    linger: Duration,
}

impl Batch {
    /// Up to so many messages; 0 counts as 1. A batch waits 100 milliseconds for the others, unless [`Batch::within`] says otherwise.
    #[must_use]
    pub const fn of(most: usize) -> Self {
        Self { most: if most == 0 { 1 } else { most }, linger: Duration::from_millis(100) }
    }

    /// How long the first message of a batch waits for the others. It counts towards the handler's timeout.
    #[must_use]
    pub const fn within(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }
}

type Outcome = Result<(), Failure>;
type Work<S, B> = dyn Fn(S, Vec<B>) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send>> + Send + Sync;

/// The messages of a queue on their way into batches.
pub(crate) struct Batches<S, B> {
    batch: Batch,
    handler: Arc<Work<S, B>>,
    /// The batch that others may still join.
    open: Mutex<Option<Arc<Open<B>>>>,
}

struct Open<B> {
    members: Mutex<Vec<Member<B>>>,
    full: Notify,
}

struct Member<B> {
    body: B,
    told: oneshot::Sender<Outcome>,
}

impl<S: Send + 'static, B: Send + 'static> Batches<S, B> {
    pub(crate) fn new<F, Fut>(batch: Batch, handler: F) -> Arc<Self>
    where
        F: Fn(S, Vec<B>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Outcome>> + Send + 'static,
    {
        let handler: Arc<Work<S, B>> = Arc::new(move |state, bodies| Box::pin(handler(state, bodies)));
        Arc::new(Self { batch, handler, open: Mutex::default() })
    }

    /// Handles a body among others, and returns its own outcome. A message that has failed before is alone, so that one that ends the whole
    /// batch does so once.
    pub(crate) async fn handle(self: Arc<Self>, state: S, body: B, attempt: u32) -> Outcome {
        let (told, outcome) = oneshot::channel();
        let member = Member { body, told };
        if attempt > 1 {
            tokio::spawn(run(self.handler.clone(), state, vec![member]));
        } else {
            self.join(state, member);
        }
        outcome.await.unwrap_or_else(|_| Err(Failure::retry("the handler of its batch panicked")))
    }

    /// Joins the open batch, or opens one.
    fn join(self: &Arc<Self>, state: S, member: Member<B>) {
        let mut open = lock(&self.open);
        let joined = open.get_or_insert_with(|| {
            let new = Arc::new(Open { members: Mutex::default(), full: Notify::new() });
            tokio::spawn(lead(self.clone(), new.clone(), state));
            new
        });
        let mut members = lock(&joined.members);
        members.push(member);
        if members.len() >= self.batch.most {
            joined.full.notify_one();
            drop(members);
            *open = None;
        }
    }
}

/// Waits until a batch is full or has waited for long enough, closes it, and runs it.
async fn lead<S: Send + 'static, B: Send + 'static>(
    batches: Arc<Batches<S, B>>,
    own: Arc<Open<B>>,
    state: S,
) {
    tokio::select! {
        () = own.full.notified() => {}
        () = tokio::time::sleep(batches.batch.linger) => {}
    }
    {
        let mut open = lock(&batches.open);
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, &own)) {
            *open = None;
        }
    }
    let members = std::mem::take(&mut *lock(&own.members));
    run(batches.handler.clone(), state, members).await;
}

/// Runs a batch, and tells each message its outcome. After a panic all of them are told nothing, which fails them. When the attempts of all
/// of them have ended, by their timeout or at a stop, it ends, too.
async fn run<S, B>(handler: Arc<Work<S, B>>, state: S, mut members: Vec<Member<B>>) {
    // Their attempt has ended while they waited.
    members.retain(|member| !member.told.is_closed());
    if members.is_empty() {
        return;
    }
    let (bodies, mut told): (Vec<_>, Vec<_>) =
        members.into_iter().map(|member| (member.body, member.told)).unzip();
    let expected = told.len();
    let span = tracing::info_span!("batch", messages = expected);
    let handled = handler(state, bodies).instrument(span);
    let mut outcomes = tokio::select! {
        biased;
        outcomes = handled => outcomes,
        _ = join_all(told.iter_mut().map(oneshot::Sender::closed)) => return,
    };
    if outcomes.len() != expected {
        let reason = format!("the handler returned {} outcomes for {expected} messages", outcomes.len());
        outcomes = vec![Err(Failure::retry(reason)); expected];
    }
    for (told, outcome) in told.into_iter().zip(outcomes) {
        // Whoever waited for it may have gone.
        let _ = told.send(outcome);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// A handler that refuses odd numbers, panics at 13, and writes down how many it got.
    fn batches(batch: Batch) -> (Arc<Batches<Sizes, u32>>, Sizes) {
        let handler = |sizes: Sizes, bodies: Vec<u32>| async move {
            lock(&sizes).push(bodies.len());
            assert!(!bodies.contains(&13), "unlucky");
            if bodies == [99] {
                return Vec::new();
            }
            let outcome = |body: &u32| {
                if body.is_multiple_of(2) { Ok(()) } else { Err(Failure::reject(body.to_string())) }
            };
            bodies.iter().map(outcome).collect()
        };
        (Batches::new(batch, handler), Sizes::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_runs_when_it_is_full_and_each_message_has_its_own_outcome() {
        let (batches, sizes) = batches(Batch::of(4).within(Duration::from_secs(60)));
        let begun = Instant::now();
        let outcomes = join_all((0..8).map(|body| batches.clone().handle(sizes.clone(), body, 1))).await;
        for (body, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.is_ok(), body % 2 == 0, "{body}");
        }
        assert_eq!(outcomes[3].as_ref().expect_err("is odd").reason, "3");
        assert_eq!((lock(&sizes).clone(), begun.elapsed()), (vec![4, 4], Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_not_full_waits_for_as_long_as_it_may() {
        let (batches, sizes) = batches(Batch::of(4).within(Duration::from_secs(3)));
        let begun = Instant::now();
        join_all((0..6).map(|body| batches.clone().handle(sizes.clone(), 2 * body, 1))).await;
        assert_eq!((lock(&sizes).clone(), begun.elapsed()), (vec![4, 2], Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_fails_its_batch_fails_the_others_once() {
        let (batches, sizes) = batches(Batch::of(2));
        let handle = |body, attempt| batches.clone().handle(sizes.clone(), body, attempt);
        let both = join_all([handle(13, 1), handle(2, 1)]).await;
        for outcome in both {
            assert_eq!(outcome.expect_err("panics").reason, "the handler of its batch panicked");
        }
        let again = join_all([handle(13, 2), handle(2, 2)]).await;
        assert_eq!([again[0].is_ok(), again[1].is_ok()], [false, true]);
        let short = handle(99, 2).await.expect_err("has no outcome");
        assert_eq!(short.reason, "the handler returned 0 outcomes for 1 messages");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_whose_attempt_has_ended_is_not_handled() {
        let (batches, sizes) = batches(Batch::of(3).within(Duration::from_secs(10)));
        let given_up = timeout(Duration::from_secs(1), batches.clone().handle(sizes.clone(), 2, 1));
        assert!(given_up.await.is_err(), "it waits for others");
        batches.clone().handle(sizes.clone(), 4, 1).await.expect("is even");
        assert_eq!(*lock(&sizes), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_ends_with_the_attempts_of_all_its_messages() {
        let handler = |held: Arc<()>, bodies: Vec<u32>| async move {
            std::future::pending::<()>().await;
            drop((held, bodies));
            Vec::new()
        };
        let (batches, held) = (Batches::new(Batch::of(2), handler), Arc::new(()));
        let attempt =
            |seconds| timeout(Duration::from_secs(seconds), batches.clone().handle(held.clone(), 2, 1));
        let (first, second) = (attempt(10), attempt(20));
        assert!(first.await.is_err());
        assert!(second.await.is_err());
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&held), 1, "nothing of it is left");
    }
}
