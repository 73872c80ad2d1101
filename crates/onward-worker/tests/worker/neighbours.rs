//! What a message that ends the process means for the other queues of that process.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, Queue as _, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::faulty::Faulty;
use crate::lives::{Records, bodies_of_dead};
use crate::support::{HOUR, Log, MINUTE, SECOND, often_received, options, queue, standard, until_empty};

/// One process works two queues. What kills it in one takes no message of the other along, however often that is.
async fn beside(shares: bool) -> (Vec<String>, usize) {
    let (ledger, orders) = (MemoryQueue::new().max_receive_count(20), queue());
    ledger.send_to_group("a", "poison");
    for number in 0..12 {
        orders.send(number.to_string());
    }
    let log = Log::default();
    for life in 0.. {
        if ledger.is_empty() && orders.is_empty() {
            break;
        }
        assert!(life < 60, "the poison is dead by now");
        let process = Faulty { queue: ledger.clone(), ..Faulty::default() };
        let beside = Faulty { queue: orders.clone(), is_standard: true, ..process.clone() };
        let (killed, seen) = (Arc::new(Notify::new()), log.clone());
        let (this, kill) = (process.clone(), killed.clone());
        let handler = move |message: Message| {
            let (this, kill, seen) = (this.clone(), kill.clone(), seen.clone());
            async move {
                if message.body == "poison" {
                    this.is_dead.store(true, Ordering::Relaxed);
                    kill.notify_one();
                }
                sleep(20 * SECOND).await;
                this.lives().await;
                seen.add(&message.body);
                Ok::<_, Failure>(())
            }
        };
        let options = Options { wait: SECOND, concurrency: 4, ..Options::default() };
        let one = Process::default();
        let other = if shares { one.clone() } else { Process::default() };
        let never = std::future::pending;
        let first = run_in(&one, process, handler.clone(), options.clone(), Monitor::default(), never());
        let second = run_in(&other, beside, handler, options, Monitor::default(), never());
        tokio::select! {
            ended = first => panic!("{ended:?}"),
            ended = second => panic!("{ended:?}"),
            () = killed.notified() => {}
            () = async { tokio::join!(until_empty(ledger.clone()), until_empty(orders.clone())); } => {}
        }
    }
    assert_eq!(bodies_of_dead(&ledger), ["poison"]);
    let done: HashSet<_> = log.bodies().into_iter().collect();
    (bodies_of_dead(&orders), done.len())
}

#[tokio::test(start_paused = true)]
async fn what_kills_the_process_in_one_queue_spares_the_others() {
    assert_eq!(beside(true).await, (Vec::new(), 12));
    let (dead, _) = beside(false).await;
    assert!(!dead.is_empty(), "without the knowledge of each other some die, so that the test can fail");
}

/// If it ended the process before, the other message would have lost one of its last receives.
#[tokio::test(start_paused = true)]
async fn a_suspicious_message_waits_until_another_queue_has_sent_its_message_anew() {
    let milliseconds = Duration::from_millis;
    let began = Instant::now();
    let bad = often_received("bad", milliseconds(300)).await;
    bad.send("busy");
    let good = often_received("good", milliseconds(500)).await;
    let (runs, ran) = tokio::sync::watch::channel(None);
    let runs = Arc::new(runs);
    let handler = move |message: Message| {
        let runs = runs.clone();
        async move {
            match message.body.as_str() {
                "busy" => sleep(milliseconds(1_000)).await,
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

/// Works two queues in one process, and sends to the second one once the first one's messages are here. Returns how long that
/// message waited.
async fn wait_beside<H>(process: &Process, first: Faulty, handler: H) -> Duration
where
    H: Fn(Message) -> std::future::Ready<Result<(), Failure>> + Clone + Send + Sync + 'static,
{
    let second = MemoryQueue::new();
    let stop = CancellationToken::new();
    let work = |queue| {
        let stopped = stop.clone().cancelled_owned();
        run_in(process, queue, handler.clone(), Options::default(), Monitor::default(), stopped)
    };
    let over = async {
        // Longer than a lease, and than the poll that was open before.
        sleep(3 * MINUTE).await;
        second.send("good");
        let sent = Instant::now();
        until_empty(second.clone()).await;
        stop.cancel();
        sent.elapsed()
    };
    let (one, two, waited) = tokio::join!(work(first), work(standard(&second)), over);
    one.expect("works");
    two.expect("works");
    waited
}

/// What waits for its head does not run, so nothing has to be careful because of it.
#[tokio::test(start_paused = true)]
async fn a_suspicious_tail_that_waits_holds_up_no_other_queue() {
    let ledger = queue();
    for body in ["head", "tail"] {
        ledger.send_to_group("a", body);
    }
    // The last time they stay away until the process has come to receive many messages at once.
    for away in [Duration::ZERO, Duration::ZERO, 2 * SECOND] {
        assert_eq!(ledger.receive(10, Duration::ZERO, away).await.expect("works").len(), 2);
    }
    for number in 0..60 {
        ledger.send_to_group(&format!("other {number}"), "other");
    }
    let handler = |message: Message| {
        let is_head = message.body == "head";
        std::future::ready(if is_head { Err(Failure::retry_after(HOUR, "busy")) } else { Ok(()) })
    };
    let first = Faulty { queue: ledger, ..Faulty::default() };
    let waited = wait_beside(&Process::default(), first, handler).await;
    assert!(waited < SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_buried_holds_up_no_other_queue() {
    let (queue, mut records) = (MemoryQueue::new(), Records::new());
    queue.send("poison");
    for _ in 0..5 {
        let (process, killed) = (standard(&queue), Arc::new(Notify::new()));
        let (this, kill) = (process.clone(), killed.clone());
        let handler = move |_: Message| {
            this.is_dead.store(true, Ordering::Relaxed);
            kill.notify_one();
            std::future::pending::<Result<(), Failure>>()
        };
        let (shared, never) = (records.process(), std::future::pending());
        let process = Faulty { keeps_dead: true, ..process };
        tokio::select! {
            ended = run_in(&shared, process, handler, Options::default(), Monitor::default(), never) => panic!("{ended:?}"),
            () = killed.notified() => {}
            // From the fourth life on it does not run any more.
            () = sleep(2 * MINUTE) => {}
        }
    }
    let log = Log::default();
    let seen = log.clone();
    let handler = move |message: Message| {
        seen.add(&message.body);
        std::future::ready(Ok(()))
    };
    let first = Faulty { keeps_dead: true, ..standard(&queue) };
    let waited = wait_beside(&records.process(), first, handler).await;
    assert!(waited < SECOND, "{waited:?}");
    assert_eq!(log.bodies(), ["good"]);
}
