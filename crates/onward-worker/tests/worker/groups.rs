//! The order of a FIFO queue's groups.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Options, run};
use tokio::time::sleep;

use crate::faulty::Faulty;
use crate::support::{Log, MINUTE, SECOND, options, queue, short, until_empty};

#[tokio::test(start_paused = true)]
async fn a_group_is_handled_in_order_and_its_tail_waits_behind_a_failure() {
    let queue = MemoryQueue::new();
    for number in 0..8 {
        queue.send_to_group("a", format!("a{number}"));
        queue.send_to_group("b", format!("b{number}"));
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let (log, now) = (seen.clone(), running.clone());
    let handler = move |message: Message| {
        let (log, now) = (log.clone(), now.clone());
        async move {
            let group = message.group_id.clone().expect("has a group");
            assert!(now.lock().expect("nobody panics").insert(group.clone()), "one of a group at a time");
            sleep(Duration::from_millis(50)).await;
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
async fn a_head_that_always_fails_dies_alone_and_its_tail_is_delivered_in_order() {
    let queue = queue();
    for number in 0..6 {
        queue.send_to_group("a", number.to_string());
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            if message.body == "0" {
                return Err(Failure::retry("it can never work"));
            }
            seen.add(&message.body);
            Ok(())
        }
    };
    let ledger = run(queue.clone(), handler, short(), until_empty(queue.clone())).await.expect("works");
    assert_eq!(queue.dead_letters(), [("0".to_owned(), "it can never work".to_owned())], "with its reason");
    assert_eq!(log.bodies(), ["1", "2", "3", "4", "5"]);
    assert_eq!((ledger.received, ledger.given_up, ledger.done), (6, 1, 5), "one receive each: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn heads_that_fail_for_a_while_keep_their_group_in_order() {
    let queue = queue();
    for number in 0..15 {
        queue.send_to_group("a", number.to_string());
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            match (message.body.as_str(), message.attempt) {
                ("0", 1..=4) => Err(Failure::retry("not yet")),
                ("1", _) => Err(Failure::retry("never")),
                (body, _) => {
                    seen.add(body);
                    Ok(())
                }
            }
        }
    };
    run(queue.clone(), handler, short(), until_empty(queue.clone())).await.expect("works");
    let expected: Vec<_> = (0..15).filter(|number| *number != 1).map(|number| number.to_string()).collect();
    assert_eq!(log.bodies(), expected);
    assert_eq!(queue.dead_letters(), [("1".to_owned(), "never".to_owned())]);
}

/// The leases end while the head waits for its next attempt, so the queue delivers the group again, with a message that was sent meanwhile.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_with_those_that_are_here_does_not_overtake_them() {
    let refused_changes = Arc::new(AtomicU32::new(1));
    let hasty = Faulty { queue: queue(), refused_changes, ..Faulty::default() };
    let (log, queue) = (Log::default(), hasty.queue.clone());
    let (seen, later) = (log.clone(), queue.clone());
    let handler = move |message: Message| {
        let (seen, later) = (seen.clone(), later.clone());
        async move {
            match (message.body.as_str(), message.attempt) {
                ("first", _) => return Ok(()),
                ("0", 1) => {
                    later.send_to_group("a", "3");
                    return Err(Failure::retry_after(Options::default().visibility * 3 / 2, "busy"));
                }
                (body, _) => seen.add(body),
            }
            Ok(())
        }
    };
    let over = async {
        // Behind the slow start, so that one receive brings the group.
        for group in 0..16 {
            queue.send_to_group(&group.to_string(), "first");
        }
        until_empty(queue.clone()).await;
        for number in 0..3 {
            queue.send_to_group("a", number.to_string());
        }
        until_empty(queue.clone()).await;
    };
    let ledger = run(hasty.clone(), handler, Options::default(), over).await.expect("works");
    assert_eq!(log.bodies(), ["0", "1", "2", "3"], "{ledger:?}");
    let again = (ledger.received, ledger.redelivered, ledger.released);
    assert_eq!(
        again,
        (16 + 3 + 4 + 1, 4, 1),
        "all four came while three were here, and the last once more: {ledger:?}"
    );
}

/// Once their heads have waited here, all of the group is kept, however long it takes until a handler is free.
#[tokio::test(start_paused = true)]
async fn groups_that_have_waited_here_do_not_go_back_for_lack_of_a_handler() {
    let (queue, log) = (queue(), Log::default());
    for group in 0..30 {
        for number in 0..3 {
            queue.send_to_group(&group.to_string(), format!("{group} {number}"));
        }
    }
    let seen = log.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            if message.attempt == 1 && message.body.ends_with(" 0") {
                return Err(Failure::retry_after(MINUTE, "busy"));
            }
            sleep(5 * SECOND).await;
            seen.add(&message.body);
            Ok(())
        }
    };
    let ledger =
        run(queue.clone(), handler, Options::default(), until_empty(queue.clone())).await.expect("works");
    assert_eq!((ledger.done, ledger.released), (90, 0), "{ledger:?}");
}
