//! What a worker receives, how often, and when it begins with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use onward_worker::{
    Failure, Ledger, MemoryQueue, Message, Monitor, Options, QueueError, QueueErrorKind, Receiving, WaitsFor,
    run, run_monitored,
};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::support::{SECOND, options, standard, until_empty};

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
        sleep(Duration::from_secs(5)).await;
        assert_eq!(queue.in_flight(), 4, "as many as there are slots");
        gate.add_permits(50);
        until_empty(queue.clone()).await;
    };
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!(ledger.done, 50);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_slow_message_goes_to_another_worker() {
    let queue = MemoryQueue::new();
    for number in 0..30 {
        queue.send(if number == 15 { "slow" } else { "fast" });
    }
    let handler = |message: Message| async move {
        if message.body == "slow" {
            sleep(Duration::from_secs(3600)).await;
        }
        Ok(())
    };
    let one = Options { concurrency: 1, handler_timeout: Duration::from_secs(7200), ..Options::default() };
    let first = run(queue.clone(), handler, one.clone(), until_empty(queue.clone()));
    let second = async {
        sleep(Duration::from_secs(10)).await;
        let fast_are_done = async {
            while queue.len() > 1 {
                sleep(Duration::from_millis(10)).await;
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
async fn an_idle_worker_makes_three_polls_a_minute() {
    let queue = MemoryQueue::new();
    let handler = |_: Message| async { Ok(()) };
    let stop = sleep(Duration::from_secs(599));
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
        let begun = Instant::now();
        assert_eq!(work(&faulty).await.expect_err("fails").kind, kind);
        assert!(begun.elapsed() < SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_in_an_outage_is_borne_for_ten_seconds() {
    let ledger = work(&failing_at_the_start(3, QueueErrorKind::Network)).await.expect("the outage is short");
    assert_eq!((ledger.done, ledger.failed_calls), (1, 3));
    let begun = Instant::now();
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
    let begun = Instant::now();
    let ledger = work(&faulty).await.expect("works");
    assert_eq!((ledger.done, ledger.failed_calls), (20, 20));
    assert!(begun.elapsed() > Duration::from_secs(60), "no hot loop");
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
            sleep(Duration::from_millis(1)).await;
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

/// The lease of what it brings begins at the queue, and must begin here.
#[tokio::test(start_paused = true)]
async fn a_poll_is_read_while_others_have_failed() {
    let faulty = standard(&MemoryQueue::new());
    let queue = faulty.queue.clone();
    for _ in 0..200 {
        queue.send("first");
    }
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let handler = move |message: Message| {
        if message.body == "late" {
            begins.notify_one();
        }
        async { Ok(()) }
    };
    let over = async {
        until_empty(queue.clone()).await;
        for _ in 0..3 {
            faulty.cut.notify_one();
        }
        sleep(Duration::from_millis(10)).await;
        let sent = Instant::now();
        queue.send("late");
        begun.notified().await;
        assert!(sent.elapsed() < Duration::from_millis(100), "{:?}", sent.elapsed());
    };
    let options = Options { concurrency: 64, ..Options::default() };
    let ledger = run(faulty.clone(), handler, options, over).await.expect("works");
    assert_eq!((ledger.failed_calls, ledger.done), (3, 201), "{ledger:?}");
}
