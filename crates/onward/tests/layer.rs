//! Limits by key, in the runtime's own time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward::{BreakerByKey, FailureKind, HandlerError, LimitByKey, Message};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{BoxError, Layer as _, ServiceExt as _};

/// The body is the key; an empty body has no key.
fn by_body() -> LimitByKey {
    LimitByKey::new(|message| Some(message.body.clone()).filter(|body| !body.is_empty()))
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("is more than 0")
}

/// The outcome of some messages.
struct Handled {
    /// Each body and the time of its start.
    log: Vec<(String, Duration)>,
    /// The maximum number of messages with the body `slow` that were handled at once.
    most: usize,
    errors: Vec<BoxError>,
}

/// Handles messages of these keys, all at once, each for a second.
async fn handle(limit: LimitByKey, keys: &[&str]) -> Handled {
    let started = Instant::now();
    let log: Arc<Mutex<Vec<(String, Duration)>>> = Arc::default();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, now, peak) = (log.clone(), running, most.clone());
    let service = limit.layer(tower::service_fn(move |message: Message| {
        let (seen, now, peak) = (seen.clone(), now.clone(), peak.clone());
        async move {
            let slow = usize::from(message.body == "slow");
            seen.lock().expect("nobody panics").push((message.body, started.elapsed()));
            peak.fetch_max(now.fetch_add(slow, Ordering::SeqCst) + slow, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.fetch_sub(slow, Ordering::SeqCst);
            Ok::<(), BoxError>(())
        }
    }));
    let mut all = JoinSet::new();
    for key in keys {
        all.spawn(service.clone().oneshot(Message { body: (*key).to_owned(), ..Message::default() }));
    }
    let errors = all.join_all().await.into_iter().filter_map(Result::err).collect();
    let log = log.lock().expect("nobody panics").clone();
    Handled { log, most: most.load(Ordering::SeqCst), errors }
}

#[tokio::test(start_paused = true)]
async fn one_key_does_not_hold_back_another() {
    let keys = ["slow", "slow", "slow", "slow", "fast", ""];
    let limit = by_body().at_once(count(2)).wait(Duration::from_secs(10));
    let Handled { log, most, errors } = handle(limit, &keys).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(most, 2);
    let started = |key: &str| -> Vec<u64> {
        log.iter().filter(|(seen, _)| seen == key).map(|(_, at)| at.as_secs()).collect()
    };
    assert_eq!((started("slow"), started("fast"), started("")), (vec![0, 0, 1, 1], vec![0], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_after_its_first_burst() {
    let limit = by_body().rate(count(2), Duration::from_secs(4)).wait(Duration::from_secs(10));
    let Handled { log, errors, .. } = handle(limit, &["slow"; 5]).await;
    assert!(errors.is_empty(), "{errors:?}");
    let mut started: Vec<_> = log.iter().map(|(_, at)| at.as_secs_f64().round()).collect();
    started.sort_by(f64::total_cmp);
    assert_eq!(started, [0.0, 0.0, 2.0, 4.0, 6.0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_waited_long_enough_is_postponed() {
    for limit in [by_body().at_once(count(1)), by_body().rate(count(1), Duration::from_secs(60))] {
        let Handled { log, errors, .. } = handle(limit.wait(Duration::from_millis(500)), &["slow"; 2]).await;
        assert_eq!(log.len(), 1, "the other one was not started");
        let error = errors.first().and_then(|error| error.downcast_ref::<HandlerError>());
        let failure = &error.expect("the limit speaks as a handler does").0;
        assert!(matches!(failure.kind, FailureKind::Postpone(_)), "{failure:?}");
        assert!(failure.reason.contains("`slow`"), "{failure:?}");
    }
}

/// A service that fails while `is_down`, with the keys that it has seen.
#[derive(Clone, Default)]
struct Destination {
    is_down: Arc<std::sync::atomic::AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Destination {
    async fn call(
        &self,
        breaker: &onward::BrokenByKey<
            impl tower::Service<Message, Response = (), Error = HandlerError, Future: Send>
            + Clone
            + Send
            + 'static,
        >,
        key: &str,
    ) -> Option<FailureKind> {
        let message = Message { body: key.to_owned(), ..Message::default() };
        let error = breaker.clone().oneshot(message).await.err()?;
        Some(error.downcast::<HandlerError>().expect("is the handler's").0.kind)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_is_paused_and_tried_one_by_one() {
    let destination = Destination::default();
    destination.is_down.store(true, Ordering::SeqCst);
    let inside = destination.clone();
    let service = tower::service_fn(move |message: Message| {
        let inside = inside.clone();
        async move {
            inside.seen.lock().expect("nobody panics").push(message.body.clone());
            match message.body.as_str() {
                "sick" if inside.is_down.load(Ordering::SeqCst) => {
                    Err(HandlerError(onward::Failure::retry("connection refused")))
                }
                _ => Ok(()),
            }
        }
    });
    let by_body = BreakerByKey::new(|message| Some(message.body.clone())).after(3);
    let breaker = by_body.pause(Duration::from_secs(2), Duration::from_secs(5)).layer(service);
    let seen = || destination.seen.lock().expect("nobody panics").len();

    for _ in 0..3 {
        assert_eq!(destination.call(&breaker, "sick").await, Some(FailureKind::Retry));
    }
    let paused = destination.call(&breaker, "sick").await;
    assert!(matches!(paused, Some(FailureKind::Postpone(_))), "{paused:?}");
    assert_eq!(destination.call(&breaker, "well").await, None, "no other key is paused");
    assert_eq!(seen(), 4);

    // After the pause one is tried; it fails, and the pause doubles.
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(destination.call(&breaker, "sick").await, Some(FailureKind::Retry));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(matches!(destination.call(&breaker, "sick").await, Some(FailureKind::Postpone(_))));
    assert_eq!(seen(), 5);

    destination.is_down.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(2)).await;
    for _ in 0..5 {
        assert_eq!(destination.call(&breaker, "sick").await, None, "it goes on");
    }
}
