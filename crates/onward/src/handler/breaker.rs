use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use onward_worker::{Failure, FailureKind, Message};
use tokio::time::Instant;
use tower::util::ServiceExt as _;
use tower::{BoxError, Layer, Service};

use crate::handler::service::{Boxed, HandlerError, KeyFn};

/// A layer that pauses the messages of one key, a destination for example, while their handler fails.
///
/// After some failures in a row the messages of the key wait without an attempt. After a pause one of them is tried. If it
/// succeeds, the others follow; if it fails, the pause doubles. So an outage of one destination takes no handler from the
/// others, and uses up no budget. A rejected message counts as a success: its destination has answered.
///
/// ```
/// use std::time::Duration;
/// use onward::BreakerByKey;
///
/// let by_destination = BreakerByKey::new(|message| message.attribute("destination").map(str::to_owned))
///     .after(3)
///     .pause(Duration::from_secs(2), Duration::from_secs(120));
/// ```
pub struct BreakerByKey {
    key: Arc<KeyFn>,
    after: u32,
    first: Duration,
    longest: Duration,
    paused: PausedKeys,
}

/// A copy knows nothing of the failures of the original: it may be for another queue.
impl Clone for BreakerByKey {
    fn clone(&self) -> Self {
        let Self { key, after, first, longest, .. } = self;
        Self {
            key: key.clone(),
            after: *after,
            first: *first,
            longest: *longest,
            paused: PausedKeys::default(),
        }
    }
}

impl BreakerByKey {
    /// Breaks by what `key` finds in a message; one without a key is never paused.
    pub fn new(key: impl Fn(&Message) -> Option<String> + Send + Sync + 'static) -> Self {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        Self { key: Arc::new(key), after: 5, first, longest, paused: PausedKeys::default() }
    }

    /// The keys of the service that this layer makes.
    pub(crate) fn paused(&self) -> PausedKeys {
        self.paused.clone()
    }

    /// After how many failures in a row the key is paused; 5 by default.
    #[must_use]
    pub fn after(mut self, failures: u32) -> Self {
        self.after = failures.max(1);
        self
    }

    /// The first pause, and the longest one; 1 s and 60 s by default.
    #[must_use]
    pub fn pause(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest.max(first));
        self
    }
}

impl fmt::Debug for BreakerByKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, first, longest, .. } = self;
        f.debug_struct("BreakerByKey")
            .field("after", after)
            .field("first", first)
            .field("longest", longest)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for BreakerByKey {
    type Service = BrokenByKey<S>;

    fn layer(&self, inner: S) -> BrokenByKey<S> {
        let of = Self { paused: self.paused.clone(), ..self.clone() };
        BrokenByKey { inner, keys: Arc::new(Keys { of }) }
    }
}

/// A service with the breaker of [`BreakerByKey`].
#[derive(Debug, Clone)]
pub struct BrokenByKey<S> {
    inner: S,
    keys: Arc<Keys>,
}

/// The keys whose last handler has failed; all others are not here.
#[derive(Debug)]
struct Keys {
    of: BreakerByKey,
}

/// The keys that a breaker knows of.
#[derive(Debug, Clone, Default)]
pub(crate) struct PausedKeys(Arc<Mutex<HashMap<String, Failing>>>);

impl PausedKeys {
    fn failing(&self) -> MutexGuard<'_, HashMap<String, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are paused, with the rest of their pause.
    #[cfg(feature = "console")]
    pub(crate) fn read(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let failing = self.failing();
        let paused = failing.iter().filter(|(_, failing)| !failing.pause.is_zero());
        let mut paused: Vec<_> = paused
            .map(|(key, failing)| (key.clone(), failing.until.saturating_duration_since(now)))
            .collect();
        paused.sort();
        paused
    }
}

#[derive(Debug)]
struct Failing {
    failures: u32,
    /// The pause, once there is one.
    pause: Duration,
    until: Instant,
    /// One message is tried.
    is_probing: bool,
}

/// The message whose outcome decides about its key.
struct Probe<'a> {
    keys: &'a Keys,
    key: &'a str,
}

impl Drop for Probe<'_> {
    /// A handler that is dropped, by a timeout for example, has told nothing: the next message may try.
    fn drop(&mut self) {
        if let Some(failing) = self.keys.failing().get_mut(self.key) {
            failing.is_probing = false;
        }
    }
}

impl Keys {
    fn failing(&self) -> MutexGuard<'_, HashMap<String, Failing>> {
        self.of.paused.failing()
    }

    /// Whether a message of the key may run, as the probe of a key that is paused; else how long it has to wait.
    fn admit<'a>(&'a self, key: &'a str) -> Result<Option<Probe<'a>>, Duration> {
        let mut all = self.failing();
        let Some(failing) = all.get_mut(key).filter(|failing| failing.failures >= self.of.after) else {
            return Ok(None);
        };
        let left = failing.until.saturating_duration_since(Instant::now());
        if !left.is_zero() || failing.is_probing {
            return Err(left.max(self.of.first));
        }
        failing.is_probing = true;
        Ok(Some(Probe { keys: self, key }))
    }

    fn record(&self, key: &str, has_failed: bool, is_probe: bool) {
        let mut all = self.failing();
        if !has_failed {
            if all.remove(key).is_some_and(|failing| failing.failures >= self.of.after) {
                tracing::info!(key, "the handler succeeds again: its messages go on");
            }
            return;
        }
        let first = self.of.first;
        let failing = all.entry(key.to_owned()).or_insert_with(|| Failing {
            failures: 0,
            pause: Duration::ZERO,
            until: Instant::now(),
            is_probing: false,
        });
        failing.failures = failing.failures.saturating_add(1);
        if failing.failures == self.of.after || is_probe {
            failing.pause = (failing.pause * 2).clamp(first, self.of.longest);
            failing.until = Instant::now() + failing.pause;
            tracing::warn!(key, pause = ?failing.pause, "the handler fails for this key: its messages wait");
        }
    }
}

/// Whether an outcome tells that what the handler calls is away or busy; nothing, if the handler did not run.
fn has_failed(outcome: &Result<(), BoxError>) -> Option<bool> {
    let Err(error) = outcome else { return Some(false) };
    match error.downcast_ref::<HandlerError>().map(|failed| failed.0.kind) {
        Some(FailureKind::Postpone(_)) => None,
        Some(kind) => Some(kind.is_of_the_world()),
        None => Some(true),
    }
}

impl<S> Service<Message> for BrokenByKey<S>
where
    S: Service<Message, Response = ()> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = ();
    type Error = BoxError;
    type Future = Boxed;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The inner service is asked when it is its turn, by the copy that is called.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Boxed {
        let (inner, keys) = (self.inner.clone(), self.keys.clone());
        Box::pin(async move {
            let Some(key) = (keys.of.key)(&message) else {
                return inner.oneshot(message).await.map_err(Into::into);
            };
            let probe = keys.admit(&key).map_err(|wait| {
                HandlerError(Failure::postpone(wait, format!("`{key}` is paused, because its handler fails")))
            })?;
            let outcome = inner.oneshot(message).await.map_err(Into::into);
            if let Some(has_failed) = has_failed(&outcome) {
                keys.record(&key, has_failed, probe.is_some());
            }
            outcome
        })
    }
}

#[cfg(all(test, feature = "console"))]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_watches_sees_the_keys_that_are_paused_and_no_others() {
        let layer =
            BreakerByKey::new(|_| None).after(2).pause(Duration::from_secs(4), Duration::from_secs(60));
        let watched = layer.paused();
        let service = layer.layer(());
        service.keys.record("shop", true, false);
        service.keys.record("bank", true, false);
        service.keys.record("bank", true, false);
        assert_eq!(watched.read(), [("bank".to_owned(), Duration::from_secs(4))]);
        assert_eq!(layer.clone().paused().read(), [], "a copy is for another queue");
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(watched.read(), [("bank".to_owned(), Duration::ZERO)], "it is tried now");
        service.keys.record("bank", false, true);
        assert_eq!(watched.read(), []);
    }
}
