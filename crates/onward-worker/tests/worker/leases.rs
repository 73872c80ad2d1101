//! The lease of a message, its end, and its delete.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, run, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::support::{HOUR, MINUTE, SECOND, options, queue, standard, until_empty, until_left};

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
                sleep(Duration::from_secs(290)).await;
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
async fn an_extension_that_hangs_costs_no_lease() {
    let faulty = Faulty { hung_changes: Arc::new(AtomicU32::new(3)), ..Faulty::default() };
    for number in 0..40 {
        faulty.queue.send(number.to_string());
    }
    let handler = |_: Message| async {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    };
    let options = Options { concurrency: 40, visibility: Duration::from_secs(10), ..Options::default() };
    let ledger =
        run(faulty.clone(), handler, options, until_empty(faulty.queue.clone())).await.expect("works");
    assert_eq!((ledger.received, ledger.done), (40, 40), "nobody else got one: {ledger:?}");
}

/// A worker that received on would receive its own messages, whose leases have ended, and use up their receives.
#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_extend_its_leases_does_not_receive_its_messages_again() {
    let changes_from = Some(Instant::now() + 5 * MINUTE);
    let faulty = Faulty { changes_from, ..standard(&queue()) };
    for number in 0..3 {
        faulty.queue.send(number.to_string());
    }
    let handler = |_: Message| async {
        sleep(6 * MINUTE).await;
        Ok::<_, Failure>(())
    };
    let options = Options { handler_timeout: HOUR, wait: SECOND, ..options() };
    let ledger =
        run(faulty.clone(), handler, options, until_empty(faulty.queue.clone())).await.expect("works");
    assert_eq!((ledger.done, faulty.queue.dead_letters()), (3, vec![]));
    // Once by the poll that is open when the leases end, and once when the queue extends leases again.
    assert_eq!(ledger.received, 9, "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn one_process_never_runs_a_message_twice_at_once() {
    let refused_changes = Arc::new(AtomicU32::new(1));
    let hasty = Faulty { refused_changes, ..standard(&queue()) };
    hasty.queue.send("long");
    let (running, runs) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (now, all) = (running.clone(), runs.clone());
    let handler = move |_: Message| {
        let (now, all) = (now.clone(), all.clone());
        async move {
            assert_eq!(now.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
            all.fetch_add(1, Ordering::Relaxed);
            sleep(3 * MINUTE).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Failure>(())
        }
    };
    let work = run(hasty.clone(), handler, Options::default(), until_empty(hasty.queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((runs.load(Ordering::Relaxed), ledger.received, ledger.undeleted), (1, 2, 0), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_process_has_died_comes_back_within_a_minute() {
    let queue = queue();
    queue.send("long");
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let options = Options { handler_timeout: 5 * HOUR, ..Options::default() };
    let worked = queue.clone();
    let life = tokio::spawn(async move { run(worked, handler, options, std::future::pending()).await });
    sleep(2 * HOUR).await;
    assert_eq!(queue.in_flight(), 1);
    life.abort();
    let _ = life.await;
    sleep(MINUTE + SECOND).await;
    assert_eq!(queue.in_flight(), 0);
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
    let handler = |_: Message| async { Ok(()) };
    let work = run(faulty.clone(), handler, options(), until_empty(faulty.queue.clone()));
    let ledger = work.await.expect("works");
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
    let begun = Instant::now();
    let stop = sleep(Duration::from_secs(300));
    let ledger = run(faulty.clone(), handler, options(), stop).await.expect("works");
    assert!((1_000..1_200).contains(&handled.load(Ordering::Relaxed)), "{ledger:?}");
    assert_eq!(ledger.undeleted, ledger.done, "{ledger:?}");
    assert!(begun.elapsed() < Duration::from_secs(345), "{:?}", begun.elapsed());
}

/// SQS counts them, so the message is sent anew before it has used them up.
#[tokio::test(start_paused = true)]
async fn the_receives_of_a_message_that_is_here_count() {
    let queue = queue();
    queue.send("patient");
    let refused_changes = Arc::new(AtomicU32::new(4));
    let hasty = Faulty { refused_changes, ..standard(&queue) };
    let handler = |message: Message| async move {
        match message.attempt {
            1..=2 => Err(Failure::retry_after(10 * MINUTE, "busy")),
            _ => Ok(()),
        }
    };
    let work = run(hasty.clone(), handler, Options::default(), until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!(hasty.refused_changes.load(Ordering::Relaxed), 0);
    assert_eq!((ledger.renewed, ledger.done, queue.dead_letters().len()), (1, 1, 0), "{ledger:?}");
    assert_eq!(ledger.received, 5 + 1, "the attempts do not count them: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_queue_cannot_read_holds_up_no_neighbour() {
    let queue = MemoryQueue::new();
    for number in 0..10 {
        queue.send(number.to_string());
    }
    let choosy = Faulty { poisoned: Some("2"), ..standard(&queue) };
    let handler = |_: Message| async { Ok::<_, Failure>(()) };
    let begun = Instant::now();
    let over = async {
        until_left(&queue, 1).await;
        assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
    };
    let options = Options { concurrency: 64, ..Options::default() };
    let ledger = run(choosy, handler, options, over).await.expect("works");
    assert_eq!((ledger.done, ledger.undeleted), (10, 1), "{ledger:?}");
}

/// A copy of it would be handled, because nobody knows that it is done.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_done_is_not_sent_anew() {
    let queue = queue();
    queue.send("once");
    // Each delete is given up when the lease has ended, and the message comes again, up to its last receive.
    let failed_deletes = Arc::new(AtomicU32::new(40));
    let faulty = Faulty { failed_deletes, ..standard(&queue) };
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let handler = move |_: Message| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    };
    let folder = tempfile::tempdir().expect("is made");
    let process = Process::recording_in(folder.path()).expect("is made");
    let options = Options { max_lease: MINUTE, ..options() };
    let over = until_empty(queue.clone());
    let ledger = run_in(&process, faulty, handler, options, Monitor::default(), over).await.expect("works");
    assert_eq!((runs.load(Ordering::Relaxed), ledger.renewed), (1, 0), "{ledger:?}");
    assert!(ledger.received >= 4, "{ledger:?}");
}
