//! What becomes of a message whose handler fails.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Options, run};
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::support::{HOUR, MINUTE, SECOND, options, queue, short, until_empty};

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
    let first = Arc::new(Mutex::new(None));
    let waited = Arc::new(Mutex::new(Duration::ZERO));
    let (begun, took) = (first.clone(), waited.clone());
    let handler = move |_: Message| {
        let (begun, took) = (begun.clone(), took.clone());
        async move {
            let now = Instant::now();
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

/// One failed call is no reason to run the handler again, nor to hold up its group for a quarter of an hour.
#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_sent_at_once_is_sent_again() {
    let faulty = Faulty { failed_letters: Arc::new(AtomicU32::new(2)), ..Faulty::default() };
    faulty.queue.send_to_group("a", "bad");
    faulty.queue.send_to_group("a", "good");
    let handler = |message: Message| async move {
        if message.body == "bad" { Err(Failure::reject("it is bad")) } else { Ok(()) }
    };
    let begun = Instant::now();
    let ledger =
        run(faulty.clone(), handler, options(), until_empty(faulty.queue.clone())).await.expect("works");
    assert_eq!((ledger.rejected, ledger.retried, ledger.done), (1, 0, 1));
    assert!(begun.elapsed() < MINUTE);
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
async fn a_delay_that_a_destination_asks_for_is_bounded() {
    let queue = queue();
    queue.send("later");
    let begun = Instant::now();
    let handler = |message: Message| async move {
        match message.attempt {
            1..=3 => Err(Failure::retry_after(12 * HOUR, "come back tomorrow")),
            _ => Ok(()),
        }
    };
    let work = run(queue.clone(), handler, Options::default(), until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((ledger.received, ledger.done), (1, 1));
    assert!(begun.elapsed() < 46 * MINUTE, "three times the longest delay: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_postponed_uses_up_no_budget() {
    let queue = queue();
    queue.send("patient");
    let tries = Arc::new(AtomicU32::new(0));
    let count = tries.clone();
    let handler = move |message: Message| {
        let count = count.clone();
        async move {
            assert_eq!(message.attempt, 1, "no attempt was made before");
            if count.fetch_add(1, Ordering::Relaxed) < 50 {
                return Err(Failure::postpone(10 * SECOND, "its destination is away"));
            }
            Ok(())
        }
    };
    let work = run(queue.clone(), handler, short(), until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.retried, ledger.given_up), (1, 1, 0, 0), "{ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_sender_wrote_waits_for_a_newer_worker() {
    let queue = queue();
    queue.send("written by the next version");
    let options = Options { undecodable: HOUR, ..short() };
    let old = |_: Message| async { Err(Failure::undecodable("a field is missing")) };
    let until_deployed = sleep(HOUR / 2);
    let ledger = run(queue.clone(), old, options.clone(), until_deployed).await.expect("works");
    assert_eq!((ledger.rejected, ledger.pauses, queue.dead_letters().len()), (0, 0, 0), "{ledger:?}");

    let new = |_: Message| async { Ok(()) };
    let work = run(queue.clone(), new, options.clone(), until_empty(queue.clone()));
    assert_eq!(work.await.expect("works").done, 1);

    queue.send("written by nobody");
    let work = run(queue.clone(), old, options, until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((ledger.rejected, ledger.given_up, queue.dead_letters().len()), (1, 0, 1), "{ledger:?}");
}
