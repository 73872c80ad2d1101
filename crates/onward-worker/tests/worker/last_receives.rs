//! Messages with few receives left, beside others that end the process and while the queue is out of reach.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, Queue as _, run, run_in};
use tokio::time::{Instant, sleep, timeout};

use crate::faulty::Faulty;
use crate::lives::{Records, bodies_of_dead, work_until};
use crate::support::{HOUR, Log, MINUTE, SECOND, options, queue, standard, until_empty};

/// What waits in a process while another message ends it pays with a receive. With its last one it is sent anew before it waits.
#[tokio::test(start_paused = true)]
async fn a_message_with_its_last_receive_outlives_any_number_of_kills() {
    let (queue, mut records) = (queue(), Records::new());
    queue.send("good");
    for _ in 0..20 {
        if queue.is_empty() {
            break;
        }
        let process = standard(&queue);
        let this = process.clone();
        // Another message runs alone meanwhile, in another queue of the same process.
        let shared = records.process();
        let other = MemoryQueue::new();
        other.send("other");
        let busy = standard(&other);
        let handler = move |message: Message| {
            let this = this.clone();
            async move {
                if message.body == "other" || !this.is_dead.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Failure>(())
            }
        };
        let options = Options { wait: SECOND, ..Options::default() };
        let (monitor, never) = (Monitor::default(), std::future::pending());
        let held = run_in(&shared, process.clone(), handler.clone(), options.clone(), monitor, never);
        let beside = run_in(&shared, busy, handler, options, Monitor::default(), std::future::pending());
        // The kill comes while the message is here.
        let killed = timeout(5 * SECOND, async { tokio::join!(held, beside) }).await;
        assert!(killed.is_err(), "it runs until the kill");
        process.is_dead.store(true, Ordering::Relaxed);
        sleep(MINUTE).await;
    }
    assert_eq!((queue.len(), queue.dead_letters()), (1, vec![]), "it waits for a process that lives");
}

/// With its last receive but one it is sent anew, too, also if the first call fails: two kills in two outages of the queue are more
/// than one.
#[tokio::test(start_paused = true)]
async fn a_message_with_few_receives_left_is_sent_anew_before_it_waits() {
    for fault in [Duration::ZERO, Duration::from_millis(500)] {
        few_receives_are_left(fault).await;
    }
}

async fn few_receives_are_left(fault: Duration) {
    let (queue, mut records) = (queue(), Records::new());
    queue.send("good");
    for _ in 0..3 {
        let received = queue.receive(10, Duration::ZERO, MINUTE).await.expect("works");
        let back: Vec<_> = received.into_iter().map(|message| (message.receipt, Duration::ZERO)).collect();
        queue.change_visibility(&back).await.expect("works");
    }
    let process = standard(&queue);
    let process = Faulty { sends_from: Some(Instant::now() + fault), ..process };
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let options = Options { wait: SECOND, ..Options::default() };
    let (shared, never) = (records.process(), std::future::pending());
    let held = run_in(&shared, process.clone(), handler, options, Monitor::default(), never);
    assert!(timeout(20 * SECOND, held).await.is_err(), "it runs until the kill");
    process.is_dead.store(true, Ordering::Relaxed);
    sleep(10 * MINUTE).await;
    let received = queue.receive(10, Duration::ZERO, MINUTE).await.expect("works");
    let counts: Vec<_> = received.iter().map(|message| message.receive_count).collect();
    assert_eq!(counts.len(), 1, "it is there once: {counts:?}");
    assert!(counts[0] <= 2, "its receives began anew: {counts:?}");
}

/// A message with its last receive that has to go back is sent anew. Where the queue takes nothing at present, it waits for that here: to
/// go back as it is would be its death.
#[tokio::test(start_paused = true)]
async fn a_last_receive_outlives_an_outage_of_the_queue() {
    let (queue, mut records) = (queue(), Records::new());
    for body in ["one", "two", "three"] {
        queue.send(body);
    }
    for _ in 0..4 {
        let received = queue.receive(10, Duration::ZERO, MINUTE).await.expect("works");
        let back: Vec<_> = received.into_iter().map(|message| (message.receipt, Duration::ZERO)).collect();
        queue.change_visibility(&back).await.expect("works");
    }
    let faulty = standard(&queue);
    let faulty = Faulty { sends_from: Some(Instant::now() + 25 * SECOND), ..faulty };
    let log = Log::default();
    let seen = log.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            sleep(3 * SECOND).await;
            seen.add(&message.body);
            Ok::<_, Failure>(())
        }
    };
    let stop = until_empty(queue.clone());
    run_in(&records.process(), faulty, handler, Options::default(), Monitor::default(), stop)
        .await
        .expect("works");
    assert_eq!(queue.dead_letters(), [], "none has used up its receives");
    assert_eq!(log.bodies().len(), 3, "{:?}", log.bodies());
}

/// Where the role may not send, a message with its last receive stays here as long as it fails, also where no more have room, and it holds up
/// nobody.
#[tokio::test(start_paused = true)]
async fn a_last_receive_outlives_an_outage_where_nothing_can_be_sent() {
    let (queue, mut records) = (queue(), Records::new());
    for number in 0..3 {
        queue.send(format!("last {number}"));
    }
    for _ in 0..4 {
        assert_eq!(queue.receive(10, Duration::ZERO, Duration::ZERO).await.expect("works").len(), 3);
    }
    for number in 0..20 {
        queue.send(format!("fresh {number}"));
    }
    let sends_from = Some(Instant::now() + 24 * HOUR);
    let (faulty, recovers) = (Faulty { sends_from, ..standard(&queue) }, Instant::now() + 2 * HOUR);
    let handler = move |_: Message| async move {
        match Instant::now() < recovers {
            true => Err(Failure::retry("the destination is down")),
            false => Ok(()),
        }
    };
    let options = Options { max_parked: 1, wait: SECOND, ..options() };
    let over = until_empty(queue.clone());
    let process = records.process();
    let work = run_in(&process, faulty, handler, options, Monitor::default(), over);
    timeout(3 * HOUR, work).await.expect("nothing is held").expect("works");
    assert_eq!(queue.dead_letters(), []);
}

/// As long as nothing can be sent anew, each return of a message brings it nearer to the dead letters.
#[tokio::test(start_paused = true)]
async fn an_outage_in_which_nothing_is_sent_anew_costs_no_good_message() {
    for outage in [MINUTE, 3 * MINUTE, 8 * MINUTE] {
        let queue = queue();
        for number in 0..30 {
            if number % 5 == 0 {
                queue.send("poison");
            }
            queue.send(number.to_string());
        }
        let recovery = Some(Instant::now() + outage);
        let log = work_until(&queue, true, 3 * SECOND, 2 * SECOND, recovery, None).await.0;
        assert_eq!(bodies_of_dead(&queue), vec!["poison"; 6], "{outage:?}");
        assert_eq!(log.bodies().into_iter().collect::<HashSet<_>>().len(), 30, "{outage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_message_that_came_several_times_holds_up_the_others_for_a_minute_at_most() {
    let queue = queue();
    queue.send("long");
    for _ in 0..3 {
        let received = queue.receive(1, Duration::ZERO, MINUTE).await.expect("is received");
        queue
            .change_visibility(&[(received[0].receipt.clone(), Duration::ZERO)])
            .await
            .expect("is given back");
    }
    for number in 0..30 {
        queue.send(number.to_string());
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            sleep(if message.body == "long" { HOUR } else { SECOND }).await;
            seen.add(&message.body);
            Ok::<_, Failure>(())
        }
    };
    let all_but_long = async {
        while queue.len() > 1 {
            sleep(SECOND).await;
        }
    };
    let begun = Instant::now();
    let options = Options { grace: SECOND, ..Options::default() };
    let ledger = run(queue.clone(), handler, options, all_but_long).await.expect("works");
    assert_eq!(ledger.done, 30, "{ledger:?}");
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
}

/// One that cannot be sent anew, because the role may not or because it has become too large, holds up the others for a minute and is then attempted.
#[tokio::test(start_paused = true)]
async fn a_last_receive_that_cannot_be_sent_anew_is_attempted() {
    for knows in [false, true] {
        let (queue, mut records, log) = (queue(), Records::new(), Log::default());
        for number in 0..3 {
            queue.send(format!("last {number}"));
        }
        // The last time they stay away until the process has come to receive many messages at once.
        for away in [Duration::ZERO, Duration::ZERO, Duration::ZERO, 2 * SECOND] {
            assert_eq!(queue.receive(10, Duration::ZERO, away).await.expect("works").len(), 3);
        }
        for number in 0..60 {
            queue.send(format!("fresh {number}"));
        }
        let sends_from = Some(Instant::now() + 24 * HOUR);
        let never_sends = Faulty { sends_from, ..standard(&queue) };
        let seen = log.clone();
        let handler = move |message: Message| {
            seen.add(&message.body);
            async { Ok::<_, Failure>(()) }
        };
        let process = if knows { records.process() } else { Process::default() };
        let over = until_empty(queue.clone());
        let work = run_in(&process, never_sends, handler, Options::default(), Monitor::default(), over);
        timeout(3 * MINUTE, work).await.expect("nothing is held").expect("works");
        assert_eq!(log.bodies().into_iter().collect::<HashSet<_>>().len(), 63, "knows {knows}");
        assert!(queue.dead_letters().is_empty());
    }
}
