//! Limits by key, in the runtime's own time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward::{FailureKind, HandlerError, LimitByKey, Message};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{BoxError, Layer as _, ServiceExt as _};

/// The body is the key; an empty one is none.
fn by_body() -> LimitByKey {
    LimitByKey::new(|message| Some(message.body.clone()).filter(|body| !body.is_empty()))
}

fn count(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("is more than 0")
}

/// What became of some messages.
struct Handled {
    /// Each body and when it was begun.
    log: Vec<(String, Duration)>,
    /// How many with the body `slow` were handled at once at the most.
    most: usize,
    errors: Vec<BoxError>,
}

/// Handles messages of these keys, all at once, each for a second.
async fn handle(limit: LimitByKey, keys: &[&str]) -> Handled {
    let begun = Instant::now();
    let log: Arc<Mutex<Vec<(String, Duration)>>> = Arc::default();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, now, peak) = (log.clone(), running, most.clone());
    let service = limit.layer(tower::service_fn(move |message: Message| {
        let (seen, now, peak) = (seen.clone(), now.clone(), peak.clone());
        async move {
            let slow = usize::from(message.body == "slow");
            seen.lock().expect("nobody panics").push((message.body, begun.elapsed()));
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
    let Handled { log, most, errors } = handle(by_body().at_once(count(2)), &keys).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(most, 2);
    let begun = |key: &str| -> Vec<u64> {
        log.iter().filter(|(seen, _)| seen == key).map(|(_, at)| at.as_secs()).collect()
    };
    assert_eq!((begun("slow"), begun("fast"), begun("")), (vec![0, 0, 1, 1], vec![0], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_after_its_first_burst() {
    let limit = by_body().rate(count(2), Duration::from_secs(4));
    let Handled { log, errors, .. } = handle(limit, &["slow"; 5]).await;
    assert!(errors.is_empty(), "{errors:?}");
    let mut begun: Vec<_> = log.iter().map(|(_, at)| at.as_secs_f64().round()).collect();
    begun.sort_by(f64::total_cmp);
    assert_eq!(begun, [0.0, 0.0, 2.0, 4.0, 6.0]);
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_goes_back_to_the_queue() {
    for limit in [by_body().at_once(count(1)), by_body().rate(count(1), Duration::from_secs(60))] {
        let Handled { log, errors, .. } = handle(limit.wait(Duration::from_millis(500)), &["slow"; 2]).await;
        assert_eq!(log.len(), 1, "the other one was not begun");
        let error = errors.first().and_then(|error| error.downcast_ref::<HandlerError>());
        let failure = &error.expect("the limit speaks as a handler does").0;
        assert!(matches!(failure.kind, FailureKind::RetryAfter(_)), "{failure:?}");
        assert!(failure.reason.contains("`slow`"), "{failure:?}");
    }
}
