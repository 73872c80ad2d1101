//! Messages that end the process.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Queue as _, run, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::lives::{Records, bodies_of_dead, work_in_lives, work_until};
use crate::support::{MINUTE, SECOND, queue, standard, until_empty};

/// 30 good messages of 3 seconds, with some at the given places that kill the process after a while.
async fn kill(places: &[usize], after: Duration) {
    for knows in [false, true] {
        let (queue, mut records) = (queue(), Records::new());
        for number in 0..30 {
            if places.contains(&number) {
                queue.send("poison");
            }
            queue.send(number.to_string());
        }
        let records = knows.then_some(&mut records);
        let (log, _) = work_until(&queue, true, 3 * SECOND, after, None, records).await;
        let dead = bodies_of_dead(&queue);
        assert_eq!(dead, vec!["poison"; places.len()], "places {places:?}, after {after:?}, knows {knows}");
        assert_eq!(log.bodies().into_iter().collect::<HashSet<_>>().len(), 30, "places {places:?}");
    }
}

/// Four groups of messages, the first with one that kills the process. Its group waits for it, as the queue allows it many
/// receives, and the other groups do not.
#[tokio::test(start_paused = true)]
async fn a_message_of_a_group_that_kills_the_process_holds_up_no_other_group() {
    const PER_GROUP: usize = 200;
    for place in [0, 3, 120] {
        let queue = MemoryQueue::new().max_receive_count(20);
        for number in 0..PER_GROUP {
            if number == place {
                queue.send_to_group("0", "poison");
            }
            for group in 0..4 {
                queue.send_to_group(&group.to_string(), format!("{group} {number:03}"));
            }
        }
        let begun = Instant::now();
        let log = work_in_lives(&queue, false, SECOND / 20, SECOND).await;
        assert_eq!(bodies_of_dead(&queue), ["poison"], "at {place}");
        for group in 0..4 {
            let all = log.bodies();
            let done: Vec<_> = all.iter().filter(|body| body.starts_with(&group.to_string())).collect();
            let mut once = done.clone();
            once.dedup();
            assert!(
                once.is_sorted() && once.len() == PER_GROUP,
                "group {group}, poison at {place}: {done:?}"
            );
            let took = log.time_of(&format!("{group} {:03}", PER_GROUP - 1)).expect("is done") - begun;
            let most = if group == 0 { 4 * MINUTE } else { MINUTE };
            assert!(took < most, "group {group}, poison at {place}: {took:?}");
        }
    }
}

/// What runs alone is written down, so a message is given up that has ended three processes for certain, long before its 50
/// receives are used up. The next process knows of it, and the message comes back with all its chances after a redrive.
#[tokio::test(start_paused = true)]
async fn a_message_that_ended_three_processes_alone_is_given_up_with_that_reason() {
    // With five it is sent anew meanwhile, and what is known of it must not end with its receives.
    for (is_fifo, receives) in [(true, 50), (false, 50), (false, 5)] {
        let mut records = Records::new();
        let queue = MemoryQueue::new().max_receive_count(receives);
        for round in 1..=2 {
            for number in 0..20 {
                let body = if number == 3 { "poison".to_owned() } else { format!("{round} {number:02}") };
                let _id = if is_fifo { queue.send_to_group("a", body) } else { queue.send(body) };
            }
            let (log, kills) =
                work_until(&queue, !is_fifo, SECOND / 20, SECOND, None, Some(&mut records)).await;
            let reason = "the process ended 3 times while only this message ran";
            assert_eq!(queue.dead_letters(), vec![("poison".to_owned(), reason.to_owned()); round]);
            // The first kill makes it a suspect, with all that ran beside it.
            assert_eq!(kills, 4, "FIFO {is_fifo}, {receives} receives, round {round}");
            let done: HashSet<_> = log.bodies().into_iter().collect();
            assert_eq!(done.len(), 19, "{done:?}");
            assert_eq!(records.len(), 0, "a record ends with its message");
        }
    }
}

/// A handler that did not run has proved nothing: what is known against its message stays.
#[tokio::test(start_paused = true)]
async fn a_suspect_that_is_postponed_stays_one() {
    let (queue, mut records) = (MemoryQueue::new().max_receive_count(50), Records::new());
    queue.send("poison");
    let mut kills = 0;
    while !queue.is_empty() {
        assert!(kills < 10, "it is given up");
        let process = standard(&queue);
        let (killed, was_postponed) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let (this, kill) = (process.clone(), killed.clone());
        let handler = move |_: Message| {
            let (this, kill) = (this.clone(), kill.clone());
            let is_first = was_postponed.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if is_first {
                    return Err(Failure::postpone(SECOND, "its limit is used up"));
                }
                this.is_dead.store(true, Ordering::Relaxed);
                kill.notify_one();
                std::future::pending().await
            }
        };
        let (shared, never) = (records.process(), std::future::pending());
        let options = Options { wait: SECOND, ..Options::default() };
        tokio::select! {
            ended = run_in(&shared, process, handler, options, Monitor::default(), never) => panic!("{ended:?}"),
            () = killed.notified() => kills += 1,
            () = until_empty(queue.clone()) => {}
        }
    }
    assert_eq!((bodies_of_dead(&queue), kills), (vec!["poison".to_owned()], 4));
}

/// A kill from outside that meets a good message which runs alone is written down, too, until the message is done.
#[tokio::test(start_paused = true)]
async fn a_good_message_that_ran_alone_at_a_few_kills_is_done() {
    let mut records = Records::new();
    let queue = MemoryQueue::new().max_receive_count(50);
    queue.send_to_group("a", "good");
    let kills = Arc::new(AtomicUsize::new(0));
    while !queue.is_empty() {
        let process = Faulty { queue: queue.clone(), ..Faulty::default() };
        let (begun, this, seen) = (Arc::new(Notify::new()), process.clone(), kills.clone());
        let begins = begun.clone();
        let handler = move |_: Message| {
            let (this, seen, begins) = (this.clone(), seen.clone(), begins.clone());
            async move {
                if seen.load(Ordering::Relaxed) < 3 {
                    begins.notify_one();
                    sleep(SECOND).await;
                }
                this.lives().await;
                Ok::<_, Failure>(())
            }
        };
        let shared = records.process();
        let (options, monitor) = (Options { wait: SECOND, ..Options::default() }, Monitor::default());
        tokio::select! {
            ended = run_in(&shared, process.clone(), handler, options, monitor, std::future::pending()) => panic!("{ended:?}"),
            () = begun.notified() => {
                process.is_dead.store(true, Ordering::Relaxed);
                kills.fetch_add(1, Ordering::Relaxed);
            }
            () = until_empty(queue.clone()) => {}
        }
    }
    assert_eq!((kills.load(Ordering::Relaxed), queue.dead_letters().len()), (3, 0));
    assert_eq!(records.len(), 0);
}

/// The head of a group kills the process, once it has waited for another message and some changes of the visibility were refused.
async fn killed_by_a_head(other_takes: Duration, refused_changes: u32) {
    let queue = MemoryQueue::new().max_receive_count(20);
    for body in ["poison", "1", "2", "3"] {
        queue.send_to_group("a", body);
    }
    // The last time they stay away until the process has come to receive many messages at once.
    for away in [Duration::ZERO, Duration::ZERO, 2 * SECOND] {
        let received = queue.receive(10, Duration::ZERO, MINUTE).await.expect("is received");
        assert_eq!(received.len(), 4);
        let given_back = received.into_iter().map(|message| (message.receipt, away));
        queue.change_visibility(&given_back.collect::<Vec<_>>()).await.expect("is given back");
    }
    let refused_changes = Arc::new(AtomicU32::new(refused_changes));
    let process = Faulty { queue: queue.clone(), refused_changes, ..Faulty::default() };
    let (killed, this) = (Arc::new(Notify::new()), process.clone());
    let kill = killed.clone();
    queue.send_to_group("slow", "slow");
    for number in 0..60 {
        queue.send_to_group(&format!("other {number}"), "other");
    }
    let handler = move |message: Message| {
        let (this, kill) = (this.clone(), kill.clone());
        async move {
            if message.body == "poison" {
                // It is alone, so the others have ended.
                sleep(SECOND).await;
                this.is_dead.store(true, Ordering::Relaxed);
                kill.notify_one();
            }
            if message.body == "slow" {
                sleep(other_takes).await;
            }
            this.lives().await;
            Ok::<_, Failure>(())
        }
    };
    let options = Options { visibility: 10 * SECOND, ..Options::default() };
    tokio::select! {
        ended = run(process.clone(), handler, options, std::future::pending()) => panic!("{ended:?}"),
        () = killed.notified() => {}
    }
    assert_eq!(process.refused_changes.load(Ordering::Relaxed), 0);
    sleep(5 * SECOND).await;
    let next = queue.receive(1, Duration::ZERO, MINUTE).await.expect("is received");
    assert_eq!(next[0].group_id.as_deref(), Some("a"), "its head comes first: {next:?}");
    assert_eq!(next[0].body, "poison");
}

/// SQS keeps a group closed as long as a message of it is in flight, those behind the one that killed the process, too.
#[tokio::test(start_paused = true)]
async fn a_group_is_open_soon_after_its_head_has_killed_the_process() {
    killed_by_a_head(Duration::ZERO, 0).await;
}

/// The leases that count are those of the last delivery.
#[tokio::test(start_paused = true)]
async fn the_same_when_the_group_came_again_while_it_waited_for_its_turn() {
    killed_by_a_head(25 * SECOND, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_the_process_dies_alone() {
    for place in [0, 7, 15, 29] {
        for after in [Duration::ZERO, 2 * SECOND] {
            kill(&[place], after).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_messages_that_kill_the_process_take_no_other_along() {
    for after in [Duration::ZERO, 2 * SECOND, 8 * SECOND] {
        kill(&[0, 8, 20], after).await;
        kill(&[3, 4, 5, 6, 7], after).await;
        kill(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], after).await;
    }
}
