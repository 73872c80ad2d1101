//! A worker over the queue in memory: what becomes of each message. Time is paused, so nothing is waited for.

mod faulty;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use faulty::Faulty;
use onward_worker::{
    Failure, Ledger, MemoryQueue, Message, Monitor, Options, Queue as _, QueueError, QueueErrorKind,
    Receiving, WaitsFor, run, run_in, run_monitored,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

fn options() -> Options {
    Options { concurrency: 4, ..Options::default() }
}

/// Completes when the queue is empty.
async fn until_empty(queue: MemoryQueue) {
    until_left(&queue, 0).await;
}

/// Completes when the queue has no more messages than this.
async fn until_left(queue: &MemoryQueue, messages: usize) {
    while queue.len() > messages {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_handled_is_deleted_by_tens() {
    let queue = MemoryQueue::new();
    for number in 0..100 {
        queue.send(number.to_string());
    }
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let handler = move |_: Message| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let options = Options { concurrency: 64, ..Options::default() };
    let ledger = run(queue.clone(), handler, options, until_empty(queue.clone())).await.expect("works");
    assert_eq!(handled.load(Ordering::Relaxed), 100);
    assert_eq!((ledger.received, ledger.done, ledger.retried), (100, 100, 0));
    assert!(ledger.delete_calls <= 12, "{ledger:?}");
}

/// A message each 20 ms for ten seconds: the calls of a worker, and the longest time that a message waited.
async fn calls_of_a_steady_stream(batching_window: Duration) -> (u64, Duration) {
    const MESSAGES: u32 = 500;
    let (queue, began) = (MemoryQueue::new(), tokio::time::Instant::now());
    let longest = Arc::new(std::sync::Mutex::new(Duration::ZERO));
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

/// The same queue without an order, whose deletes are collected, too.
fn standard(queue: &MemoryQueue) -> Faulty {
    Faulty { queue: queue.clone(), is_standard: true, ..Faulty::default() }
}

const WINDOW: Duration = Duration::from_secs(15);

/// What is collected neither holds up the stop nor is left undeleted.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_batching_window() {
    let (queue, began) = (MemoryQueue::new(), tokio::time::Instant::now());
    queue.send("quick");
    queue.send("slow");
    let handled = Arc::new(Notify::new());
    let done = handled.clone();
    let handler = move |message: Message| {
        let done = done.clone();
        async move {
            if message.body == "slow" {
                done.notify_one();
                tokio::time::sleep(Duration::from_secs(2)).await;
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
    assert!(
        deleted < Duration::from_secs(1),
        "the quick one is deleted while the slow one runs: {deleted:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// A message that may end the process waits for the deletes of the others, and so does all that comes behind it.
#[tokio::test(start_paused = true)]
async fn a_suspicious_message_does_not_wait_for_the_batching_window() {
    let began = tokio::time::Instant::now();
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
        tokio::time::sleep(Duration::from_millis(500)).await;
        let monitor = Monitor::default();
        let ended = run_in(&process, standard(&queue), handler.clone(), options.clone(), monitor, stop).await;
        both.cancel();
        ended
    };
    let (one, two) = tokio::join!(of_other, of_suspicious);
    assert_eq!((one.expect("works").done, two.expect("works").done), (1, 1));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// A queue with a message that was received three times, visible again after a while.
async fn often_received(body: &str, again: Duration) -> MemoryQueue {
    let queue = MemoryQueue::new().max_receive_count(5);
    queue.send(body);
    for hidden in [Duration::ZERO, Duration::ZERO, again] {
        assert_eq!(queue.receive(1, Duration::ZERO, hidden).await.expect("works").len(), 1);
    }
    queue
}

/// If it ended the process before, the other message would have lost one of its last receives.
#[tokio::test(start_paused = true)]
async fn a_suspicious_message_waits_until_another_queue_has_sent_its_message_anew() {
    let milliseconds = Duration::from_millis;
    let began = tokio::time::Instant::now();
    let bad = often_received("bad", milliseconds(300)).await;
    bad.send("busy");
    let good = often_received("good", milliseconds(500)).await;
    let (runs, ran) = tokio::sync::watch::channel(None);
    let runs = Arc::new(runs);
    let handler = move |message: Message| {
        let runs = runs.clone();
        async move {
            match message.body.as_str() {
                "busy" => tokio::time::sleep(milliseconds(1_000)).await,
                "bad" => drop(runs.send_replace(Some(began.elapsed()))),
                _ => {}
            }
            Ok(())
        }
    };
    let process = onward_worker::Process::default();
    let mut seen = ran.clone();
    let stop = CancellationToken::new();
    let watching = async {
        seen.wait_for(Option::is_some).await.expect("the handler lives");
        stop.cancel();
    };
    let slow = Faulty { renewal: milliseconds(3_000), ..standard(&good) };
    let options = Options { wait: milliseconds(700), ..options() };
    let work = |queue| {
        let (handler, options) = (handler.clone(), options.clone());
        run_in(&process, queue, handler, options, Monitor::default(), stop.cancelled())
    };
    let (one, two, ()) = tokio::join!(work(standard(&bad)), work(slow), watching);
    assert_eq!((one.expect("works").done, two.expect("works").renewed), (2, 1));
    let began_at = ran.borrow().expect("it ran");
    assert!(began_at >= milliseconds(3_500), "{began_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batching_window_does_not_outlast_a_lease() {
    let queue = MemoryQueue::new();
    queue.send("long");
    let handler = |_: Message| async {
        tokio::time::sleep(Duration::from_secs(22)).await;
        Ok(())
    };
    let lease = Duration::from_secs(30);
    let options = Options { batching_window: WINDOW, max_lease: lease, ..options() };
    let ledger = run(standard(&queue), handler, options, until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.undeleted), (1, 1, 0), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_a_panic_and_a_timeout_are_tried_again_without_another_receive() {
    let queue = MemoryQueue::new();
    for body in ["fails", "panics", "hangs"] {
        queue.send(body);
    }
    let handler = |message: Message| async move {
        match (message.attempt, message.body.as_str()) {
            (1, "fails") => Err(Failure::retry("not today")),
            (1, "panics") => panic!("on purpose"),
            (1, "hangs") => std::future::pending().await,
            _ => Ok(()),
        }
    };
    let ledger = run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.retried), (3, 3, 3));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_kept() {
    let queue = MemoryQueue::new();
    queue.send("later");
    let first = Arc::new(std::sync::Mutex::new(None));
    let waited = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let (begun, took) = (first.clone(), waited.clone());
    let handler = move |_: Message| {
        let (begun, took) = (begun.clone(), took.clone());
        async move {
            let now = tokio::time::Instant::now();
            let mut begun = begun.lock().expect("nobody panics");
            if let Some(before) = *begun {
                *took.lock().expect("nobody panics") = now - before;
                return Ok(());
            }
            *begun = Some(now);
            Err(Failure::retry_after(Duration::from_secs(600), "come back in ten minutes"))
        }
    };
    run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    let waited = *waited.lock().expect("nobody panics");
    assert!(waited >= Duration::from_secs(600) && waited < Duration::from_secs(640), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_is_copied_before_it_is_deleted() {
    let queue = MemoryQueue::new();
    queue.send("junk");
    let handler = |_: Message| async { Err(Failure::reject("no use")) };
    let ledger = run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    assert_eq!(queue.dead_letters(), [("junk".to_owned(), "no use".to_owned())]);
    assert_eq!((ledger.rejected, ledger.done, ledger.retried), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_message_is_leased_until_it_is_done_and_holds_back_no_other() {
    let queue = MemoryQueue::new();
    for number in 0..20 {
        queue.send(if number == 0 { "slow" } else { "fast" });
    }
    let fast_done = Arc::new(Notify::new());
    let count = Arc::new(AtomicU32::new(0));
    let (release, counter) = (fast_done.clone(), count.clone());
    let handler = move |message: Message| {
        let (release, counter) = (release.clone(), counter.clone());
        async move {
            if message.body == "slow" {
                release.notified().await;
                // Ten visibility timeouts long.
                tokio::time::sleep(Duration::from_secs(290)).await;
            } else if counter.fetch_add(1, Ordering::Relaxed) == 18 {
                release.notify_one();
            }
            Ok(())
        }
    };
    let ledger = run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done), (20, 20), "nothing was delivered twice");
    assert!((8..=12).contains(&ledger.visibility_calls), "terms of a minute: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_is_received_than_there_are_slots() {
    let queue = MemoryQueue::new();
    for _ in 0..50 {
        queue.send("x");
    }
    let gate = Arc::new(Semaphore::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (entry, watched, highest) = (gate.clone(), queue.clone(), most.clone());
    let handler = move |_: Message| {
        let (entry, watched, highest) = (entry.clone(), watched.clone(), highest.clone());
        async move {
            entry.acquire().await.expect("is open").forget();
            highest.fetch_max(watched.in_flight(), Ordering::Relaxed);
            Ok(())
        }
    };
    let stop = async {
        // The start is slow: twice as many each second.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(queue.in_flight(), 4, "as many as there are slots");
        gate.add_permits(50);
        until_empty(queue.clone()).await;
    };
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!(ledger.done, 50);
}

#[tokio::test(start_paused = true)]
async fn the_stop_releases_what_has_not_started_and_finishes_what_has() {
    let queue = MemoryQueue::new();
    queue.send("running");
    let late = queue.clone();
    let handler = |_: Message| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    };
    let stop = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The open poll will bring this one after the stop.
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            late.send("late");
        });
    };
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.released, ledger.abandoned), (2, 1, 1, 0));
    assert_eq!((queue.len(), queue.in_flight()), (1, 0), "the late one is free for another worker");
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_is_abandoned_and_comes_back() {
    let queue = MemoryQueue::new();
    queue.send("stuck");
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let stop = tokio::time::sleep(Duration::from_secs(1));
    let begun = tokio::time::Instant::now();
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.abandoned), (1, 0, 1));
    assert_eq!(queue.len(), 1);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1) + options().grace + Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_makes_three_polls_a_minute() {
    let queue = MemoryQueue::new();
    let handler = |_: Message| async { Ok(()) };
    let stop = tokio::time::sleep(Duration::from_secs(599));
    let ledger = run(queue, handler, options(), stop).await.expect("works");
    assert_eq!(ledger.receive_calls, 30);
    assert_eq!(ledger.calls(), 30);
}

async fn work(faulty: &Faulty) -> Result<Ledger, QueueError> {
    let handler = |_: Message| async { Ok(()) };
    run(faulty.clone(), handler, options(), until_empty(faulty.queue.clone())).await
}

fn failing_at_the_start(receives: u32, kind: QueueErrorKind) -> Faulty {
    let faulty = Faulty { receive_faults: Arc::new(AtomicU32::new(receives)), ..Faulty::default() };
    faulty.queue.send("x");
    Faulty { kind, ..faulty }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_configuration_ends_the_worker_at_once() {
    for kind in [QueueErrorKind::Credentials, QueueErrorKind::MissingQueue] {
        let faulty = failing_at_the_start(1, kind);
        let begun = tokio::time::Instant::now();
        assert_eq!(work(&faulty).await.expect_err("fails").kind, kind);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_in_an_outage_is_borne_for_ten_seconds() {
    let ledger = work(&failing_at_the_start(3, QueueErrorKind::Network)).await.expect("the outage is short");
    assert_eq!((ledger.done, ledger.failed_calls), (1, 3));
    let begun = tokio::time::Instant::now();
    let fault =
        work(&failing_at_the_start(99, QueueErrorKind::Network)).await.expect_err("the address is wrong");
    assert_eq!(fault.kind, QueueErrorKind::Network);
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fails_later_does_not() {
    let faulty = Faulty {
        receive_faults: Arc::new(AtomicU32::new(20)),
        receives_first: Arc::new(AtomicU32::new(1)),
        ..Faulty::default()
    };
    for _ in 0..20 {
        faulty.queue.send("x");
    }
    let begun = tokio::time::Instant::now();
    let ledger = work(&faulty).await.expect("works");
    assert_eq!((ledger.done, ledger.failed_calls), (20, 20));
    assert!(begun.elapsed() > Duration::from_secs(60), "no hot loop");
}

#[tokio::test(start_paused = true)]
async fn deletes_that_fail_are_made_again_and_the_handler_is_not() {
    let faulty = Faulty {
        failed_deletes: Arc::new(AtomicU32::new(2)),
        refused_deletes: Arc::new(AtomicU32::new(2)),
        ..Faulty::default()
    };
    for _ in 0..10 {
        faulty.queue.send("x");
    }
    let ledger = work(&faulty).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.undeleted), (10, 10, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_done_and_could_not_be_deleted_is_deleted_when_it_comes_back() {
    let faulty = Faulty { failed_deletes: Arc::new(AtomicU32::new(100)), ..Faulty::default() };
    faulty.queue.send("once");
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let handler = move |_: Message| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let options = Options { max_lease: Duration::from_secs(60), ..options() };
    let ledger =
        run(faulty.clone(), handler, options, until_empty(faulty.queue.clone())).await.expect("works");
    assert_eq!(runs.load(Ordering::Relaxed), 1, "the handler ran once");
    assert!(ledger.received > 1 && ledger.undeleted > 0, "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_handled_in_order_and_its_tail_waits_behind_a_failure() {
    let queue = MemoryQueue::new();
    for number in 0..8 {
        queue.send_to_group("a", format!("a{number}"));
        queue.send_to_group("b", format!("b{number}"));
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let running = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let (log, now) = (seen.clone(), running.clone());
    let handler = move |message: Message| {
        let (log, now) = (log.clone(), now.clone());
        async move {
            let group = message.group_id.clone().expect("has a group");
            assert!(now.lock().expect("nobody panics").insert(group.clone()), "one of a group at a time");
            tokio::time::sleep(Duration::from_millis(50)).await;
            now.lock().expect("nobody panics").remove(&group);
            if message.body == "a3" && message.attempt == 1 {
                return Err(Failure::retry("once"));
            }
            log.lock().expect("nobody panics").push(message.body);
            Ok(())
        }
    };
    let ledger = run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.done, ledger.retried), (16, 1));
    assert_eq!((ledger.received, ledger.released), (16, 0), "the tail waits here: {ledger:?}");
    let seen = seen.lock().expect("nobody panics").clone();
    for group in ["a", "b"] {
        let order: Vec<_> = seen.iter().filter(|body| body.starts_with(group)).cloned().collect();
        assert_eq!(order, (0..8).map(|number| format!("{group}{number}")).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn quick_messages_are_received_by_tens_even_by_one_handler() {
    let queue = MemoryQueue::new();
    for number in 0..500 {
        queue.send(number.to_string());
    }
    let handler = |_: Message| async { Ok(()) };
    let options = Options { concurrency: 1, ..Options::default() };
    let ledger = run(queue.clone(), handler, options, until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.done, ledger.released), (500, 0));
    assert!(ledger.receive_calls <= 55, "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_slow_message_goes_to_another_worker() {
    let queue = MemoryQueue::new();
    for number in 0..30 {
        queue.send(if number == 15 { "slow" } else { "fast" });
    }
    let handler = |message: Message| async move {
        if message.body == "slow" {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        Ok(())
    };
    let one = Options { concurrency: 1, handler_timeout: Duration::from_secs(7200), ..Options::default() };
    let first = run(queue.clone(), handler, one.clone(), until_empty(queue.clone()));
    let second = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let fast_are_done = async {
            while queue.len() > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        run(queue.clone(), handler, one.clone(), fast_are_done).await
    };
    let (first, second) = tokio::join!(first, second);
    let (first, second) = (first.expect("works"), second.expect("works"));
    assert!(first.released > 0 && second.done > 0, "{first:?} {second:?}");
    assert_eq!(first.done + second.done, 30);
}

#[tokio::test(start_paused = true)]
async fn poison_among_good_messages_stops_nothing() {
    let queue = MemoryQueue::new();
    for number in 0..60 {
        queue.send(if number % 2 == 0 { "good" } else { "poison" });
    }
    let handler = |message: Message| async move {
        match message.body.as_str() {
            "poison" if message.attempt < 3 => Err(Failure::retry("poison")),
            "poison" => Err(Failure::reject("poison")),
            _ => Ok(()),
        }
    };
    let ledger = run(queue.clone(), handler, options(), until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.done, ledger.rejected), (30, 30), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_hangs_costs_no_lease() {
    let faulty = Faulty { hung_changes: Arc::new(AtomicU32::new(3)), ..Faulty::default() };
    for number in 0..40 {
        faulty.queue.send(number.to_string());
    }
    let handler = |_: Message| async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    };
    let options = Options { concurrency: 40, visibility: Duration::from_secs(10), ..Options::default() };
    let ledger =
        run(faulty.clone(), handler, options, until_empty(faulty.queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done), (40, 40), "nobody else got one: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_takes_no_deletes_is_not_read_on_and_ends_in_time() {
    let faulty = Faulty { failed_deletes: Arc::new(AtomicU32::new(u32::MAX)), ..Faulty::default() };
    for number in 0..5_000 {
        faulty.queue.send(number.to_string());
    }
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let handler = move |_: Message| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    };
    let begun = tokio::time::Instant::now();
    let stop = tokio::time::sleep(Duration::from_secs(300));
    let ledger = run(faulty.clone(), handler, options(), stop).await.expect("works");
    assert!((1_000..1_200).contains(&handled.load(Ordering::Relaxed)), "{ledger:?}");
    assert_eq!(ledger.undeleted, ledger.done, "{ledger:?}");
    assert!(begun.elapsed() < Duration::from_secs(345), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_watches_sees_what_each_message_waits_for() {
    let queue = MemoryQueue::new();
    for body in ["runs", "waits", "fails"] {
        queue.send(body);
    }
    let (monitor, release) = (Monitor::default(), Arc::new(Notify::new()));
    let released = release.clone();
    let handler = move |message: Message| {
        let released = released.clone();
        async move {
            match message.body.as_str() {
                "fails" if message.attempt == 1 => Err(Failure::retry("not yet")),
                "runs" | "waits" => {
                    released.notified().await;
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    };
    let empty = until_empty(queue.clone());
    let watching = monitor.clone();
    let watch = async move {
        let of = |wanted: fn(&WaitsFor) -> bool| {
            watching.in_flight().iter().filter(|message| wanted(&message.waits_for)).count()
        };
        let running = |it: &WaitsFor| matches!(it, WaitsFor::ItsHandler);
        while of(running) < 2 || of(|it| matches!(it, WaitsFor::Retry(_))) < 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let activity = watching.activity().expect("it works");
        assert_eq!((activity.handlers, activity.busy, activity.in_flight, activity.parked), (4, 2, 3, 1));
        assert_eq!(activity.receiving, Receiving::All);
        let all = watching.in_flight();
        let parked = all.iter().find(|message| matches!(message.waits_for, WaitsFor::Retry(_)));
        assert_eq!(parked.expect("one is parked").attempt, 1, "its first attempt has failed");
        assert!(all.iter().all(|message| !message.lease_left.is_zero()), "{all:?}");
        release.notify_one();
        release.notify_one();
        empty.await;
    };
    run_monitored(queue, handler, options(), monitor.clone(), watch).await.expect("works");
    assert_eq!(monitor.in_flight(), [], "nothing is left");
    assert_eq!(monitor.handler_durations().count(), 4, "one for each attempt");
    assert_eq!(monitor.activity().expect("it has worked").busy, 0);
}
