use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use onward_worker::{Failure, Message};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::util::ServiceExt as _;
use tower::{BoxError, Layer, Service};

use crate::handler::service::{Boxed, HandlerError, KeyFn};

/// A layer that limits the messages of each key, for example of a destination: at once, in a time, or both.
///
/// A message over the limit keeps its handler's place as long as [`LimitByKey::wait`] allows. Then it is postponed: it waits in
/// the process without a handler and without an attempt, and is tried again.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use onward::LimitByKey;
///
/// let four = NonZeroU32::new(4).unwrap();
/// let by_destination = LimitByKey::new(|message| message.attribute("destination").map(str::to_owned))
///     .at_once(four)
///     .rate(four, Duration::from_secs(1));
/// ```
#[derive(Clone)]
pub struct LimitByKey {
    key: Arc<KeyFn>,
    at_once: Option<usize>,
    rate: Option<Quota>,
    wait: Duration,
}

impl LimitByKey {
    /// Limits by the key that `key` finds in a message; a message without a key is not limited.
    pub fn new(key: impl Fn(&Message) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { key: Arc::new(key), at_once: None, rate: None, wait: AGAIN }
    }

    /// Limits how many messages of a key are handled at once.
    #[must_use]
    pub fn at_once(mut self, most: NonZeroU32) -> Self {
        self.at_once = usize::try_from(most.get()).ok();
        self
    }

    /// Limits how many messages of a key start in a time: evenly, after a first burst of the same number. A `per` of zero
    /// sets no limit.
    #[must_use]
    pub fn rate(mut self, most: NonZeroU32, per: Duration) -> Self {
        self.rate = Quota::with_period(per / most.get()).map(|quota| quota.allow_burst(most));
        self
    }

    /// Sets how long a message over the limit keeps its handler's place before it is postponed; 1 s by default.
    #[must_use]
    pub fn wait(mut self, longest: Duration) -> Self {
        self.wait = longest;
        self
    }
}

impl fmt::Debug for LimitByKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, at_once, rate, wait } = self;
        f.debug_struct("LimitByKey")
            .field("at_once", at_once)
            .field("rate", rate)
            .field("wait", wait)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitByKey {
    type Service = LimitedByKey<S>;

    fn layer(&self, inner: S) -> LimitedByKey<S> {
        let rates = self.rate.map(|quota| RateLimiter::hashmap_with_clock(quota, RuntimeClock));
        LimitedByKey {
            inner,
            limits: Arc::new(Limits {
                of: self.clone(),
                rates,
                forget_at: MANY_KEYS.into(),
                places: Mutex::default(),
            }),
        }
    }
}

/// A service with the limits of [`LimitByKey`].
#[derive(Debug, Clone)]
pub struct LimitedByKey<S> {
    inner: S,
    limits: Arc<Limits>,
}

/// The clock of the runtime, which also measures the waiting.
#[derive(Debug, Clone)]
struct RuntimeClock;

impl Clock for RuntimeClock {
    type Instant = std::time::Instant;

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

type Rates = RateLimiter<String, HashMapStateStore<String>, RuntimeClock, NoOpMiddleware<std::time::Instant>>;

struct Limits {
    of: LimitByKey,
    rates: Option<Rates>,
    /// The number of keys from which the next check forgets those whose rate has recovered.
    forget_at: AtomicUsize,
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// How long a message waits for its turn by default, and how soon it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// With more keys than this, the layer forgets those that are not in use.
const MANY_KEYS: usize = 1_000;

impl Limits {
    /// The places of a key.
    fn places(&self, key: &str, at_once: usize) -> Arc<Semaphore> {
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY_KEYS && !all.contains_key(key) {
            all.retain(|_, places| Arc::strong_count(places) > 1);
        }
        all.entry(key.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(at_once))).clone()
    }

    /// Waits until the rate of a key allows one more.
    async fn turn(&self, rates: &Rates, key: &String, until: Instant) -> Result<(), Failure> {
        // More keys make this check rarer, so that each message pays for only a few keys.
        if rates.len() >= self.forget_at.load(Ordering::Relaxed) {
            rates.retain_recent();
            self.forget_at.store(MANY_KEYS.max(2 * rates.len()), Ordering::Relaxed);
        }
        while let Err(early) = rates.check_key(key) {
            let wait = early.wait_time_from(RuntimeClock.now());
            if Instant::now() + wait > until {
                return Err(Failure::postpone(wait, format!("the rate limit of `{key}` is reached")));
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt(f)
    }
}

impl<S> Service<Message> for LimitedByKey<S>
where
    S: Service<Message, Response = ()> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = ();
    type Error = BoxError;
    type Future = Boxed;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // `call` asks the inner service itself, when the message has its turn.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Boxed {
        let (inner, limits) = (self.inner.clone(), self.limits.clone());
        Box::pin(async move {
            let Some(key) = (limits.of.key)(&message) else {
                return inner.oneshot(message).await.map_err(Into::into);
            };
            let until = Instant::now() + limits.of.wait;
            let places = limits.of.at_once.map(|at_once| limits.places(&key, at_once));
            let _place = match &places {
                Some(places) => match tokio::time::timeout_at(until, places.acquire()).await {
                    Ok(place) => place.ok(),
                    Err(_) => {
                        let reason = format!("the limit of messages of `{key}` at once is reached");
                        return Err(HandlerError(Failure::postpone(limits.of.wait.max(AGAIN), reason)).into());
                    }
                },
                None => None,
            };
            if let Some(rates) = &limits.rates {
                limits.turn(rates, &key, until).await.map_err(HandlerError)?;
            }
            inner.oneshot(message).await.map_err(Into::into)
        })
    }
}
