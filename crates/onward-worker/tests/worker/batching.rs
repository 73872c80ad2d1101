//! The batching window: fewer calls, and what ends it early.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{MemoryQueue, Message, Monitor, Options, run, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{SECOND, often_received, options, standard, until_empty, until_left};

/// A message each 20 ms for ten seconds: the calls of a worker, and the longest time that a message waited.
async fn calls_of_a_steady_stream(batching_window: Duration) -> (u64, Duration) {
    const MESSAGES: u32 = 500;
    let (queue, began) = (MemoryQueue::new(), Instant::now());
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let seen = longest.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            let sent = Duration::from_millis(20) * message.body.parse::<u32>().expect("is a number");
            let mut longest = seen.lock().expect("nobody panics");
            *longest = longest.max(began.elapsed() - sent);
            Ok(())
        }
    };
    let sending = async {
        for number in 1..=MESSAGES {
            tokio::time::sleep_until(began + Duration::from_millis(20) * number).await;
            queue.send(number.to_string());
        }
        until_empty(queue.clone()).await;
    };
    let options = Options { batching_window, ..options() };
    let ledger = run(standard(&queue), handler, options, sending).await.expect("works");
    assert_eq!(ledger.done, u64::from(MESSAGES));
    let longest = *longest.lock().expect("nobody panics");
    (ledger.calls(), longest)
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_makes_fewer_calls_and_messages_wait_no_longer() {
    let (calls, longest) = calls_of_a_steady_stream(Duration::ZERO).await;
    assert!((500..=1_100).contains(&calls), "a receive for each message, and deletes: {calls}");
    assert!(longest < Duration::from_millis(5), "{longest:?}");

    let window = Duration::from_millis(500);
    let (calls, longest) = calls_of_a_steady_stream(window).await;
    assert!(calls <= 200, "about 25 messages in each 500 ms make less than ten calls: {calls}");
    assert!(longest < window + Duration::from_millis(5), "{longest:?}");
}

const WINDOW: Duration = Duration::from_secs(15);

/// What is collected neither holds up the stop nor is left undeleted.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_batching_window() {
    let (queue, began) = (MemoryQueue::new(), Instant::now());
    queue.send("quick");
    queue.send("slow");
    let handled = Arc::new(Notify::new());
    let done = handled.clone();
    let handler = move |message: Message| {
        let done = done.clone();
        async move {
            if message.body == "slow" {
                done.notify_one();
                sleep(Duration::from_secs(2)).await;
            }
            Ok(())
        }
    };
    // The stop awaits an open poll.
    let wait = Duration::from_millis(100);
    let options = Options { batching_window: WINDOW, wait, ..options() };
    let stop = async { handled.notified().await };
    let deleted = async {
        until_left(&queue, 1).await;
        began.elapsed()
    };
    let (ledger, deleted) = tokio::join!(run(standard(&queue), handler, options, stop), deleted);
    let ledger = ledger.expect("works");
    assert_eq!((ledger.done, queue.len()), (2, 0), "{ledger:?}");
    assert!(deleted < SECOND, "the quick one is deleted while the slow one runs: {deleted:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// A message that may end the process waits for the deletes of the others, and so does all that comes behind it.
#[tokio::test(start_paused = true)]
async fn a_suspicious_message_does_not_wait_for_the_batching_window() {
    let began = Instant::now();
    let queue = often_received("suspicious", Duration::ZERO).await;
    let suspicious = Arc::new(Notify::new());
    let begins = suspicious.clone();
    let handler = move |message: Message| {
        if message.body == "suspicious" {
            begins.notify_one();
        }
        async { Ok(()) }
    };
    let options = Options { batching_window: WINDOW, wait: Duration::from_millis(100), ..options() };
    let stop = async { suspicious.notified().await };
    let other = MemoryQueue::new();
    other.send("first");
    let process = onward_worker::Process::default();
    let both = CancellationToken::new();
    let of_other = async {
        let stop = both.cancelled();
        let monitor = Monitor::default();
        run_in(&process, standard(&other), handler.clone(), options.clone(), monitor, stop).await
    };
    let of_suspicious = async {
        // The other worker has done its first message by then, and not deleted it.
        sleep(Duration::from_millis(500)).await;
        let monitor = Monitor::default();
        let ended = run_in(&process, standard(&queue), handler.clone(), options.clone(), monitor, stop).await;
        both.cancel();
        ended
    };
    let (one, two) = tokio::join!(of_other, of_suspicious);
    assert_eq!((one.expect("works").done, two.expect("works").done), (1, 1));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_does_not_outlast_a_lease() {
    let queue = MemoryQueue::new();
    queue.send("long");
    let handler = |_: Message| async {
        sleep(Duration::from_secs(22)).await;
        Ok(())
    };
    let lease = Duration::from_secs(30);
    let options = Options { batching_window: WINDOW, max_lease: lease, ..options() };
    let ledger = run(standard(&queue), handler, options, until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.undeleted), (1, 1, 0), "{ledger:?}");
}
