//! Outages of destinations, for hours.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{Failure, Ledger, MemoryQueue, Message, Options, run};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::faulty::Faulty;
use crate::support::{HOUR, Log, MINUTE, SECOND, queue, standard, until_empty};

/// A destination that is away at first.
#[derive(Clone, Default)]
struct Destination {
    is_up: Arc<AtomicBool>,
    delivered: Log,
}

impl Destination {
    async fn deliver(self, message: Message) -> Result<(), Failure> {
        if !self.is_up.load(Ordering::Relaxed) {
            return Err(Failure::retry("connection refused"));
        }
        self.delivered.add(&message.body);
        Ok(())
    }

    fn recovers_in(&self, time: Duration) {
        let is_up = self.is_up.clone();
        tokio::spawn(async move {
            sleep(time).await;
            is_up.store(true, Ordering::Relaxed);
        });
    }

    fn handler(
        &self,
    ) -> impl Fn(Message) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>
    + Clone
    + Send
    + Sync
    + 'static {
        let destination = self.clone();
        move |message| Box::pin(destination.clone().deliver(message))
    }
}

/// Starts and stops a worker every four seconds for a time.
async fn restart(queue: &MemoryQueue, destination: &Destination, time: Duration) -> Ledger {
    let begun = Instant::now();
    let mut ledger = Ledger::default();
    while begun.elapsed() < time {
        let options = Options { wait: SECOND, ..Options::default() };
        ledger = run(queue.clone(), destination.handler(), options, sleep(4 * SECOND)).await.expect("works");
    }
    ledger
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_outage_with_a_restart_every_four_seconds_costs_no_message() {
    let (queue, destination) = (queue(), Destination::default());
    for number in 0..60 {
        queue.send(number.to_string());
    }
    restart(&queue, &destination, HOUR).await;
    assert_eq!((queue.dead_letters().len(), queue.len()), (0, 60));

    destination.is_up.store(true, Ordering::Relaxed);
    let work = run(queue.clone(), destination.handler(), Options::default(), until_empty(queue.clone()));
    timeout(4 * HOUR, work).await.expect("all are delivered").expect("works");
    assert_eq!(destination.delivered.bodies().into_iter().collect::<HashSet<_>>().len(), 60);
    assert!(queue.dead_letters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_with_groups_keeps_their_order() {
    let (queue, destination) = (queue(), Destination::default());
    for number in 0..40 {
        queue.send_to_group(&format!("group {}", number % 4), format!("{number:02}"));
    }
    restart(&queue, &destination, HOUR).await;
    assert_eq!((queue.dead_letters().len(), queue.len()), (0, 40));
    destination.is_up.store(true, Ordering::Relaxed);
    let work = run(queue.clone(), destination.handler(), Options::default(), until_empty(queue.clone()));
    timeout(4 * HOUR, work).await.expect("all are delivered").expect("works");
    for group in 0..4 {
        let bodies = destination.delivered.bodies();
        let of_group: Vec<_> =
            bodies.iter().filter(|body| body.parse::<u32>().expect("is a number") % 4 == group).collect();
        assert!(of_group.is_sorted() && of_group.len() == 10, "{of_group:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_hours_without_one_destination_cost_nothing_and_disturb_no_other() {
    let queue = queue();
    let log = Log::default();
    let (seen, begun) = (log.clone(), Instant::now());
    let handler = move |message: Message| {
        let seen = seen.clone();
        async move {
            if message.body.starts_with("sick") && begun.elapsed() < 2 * HOUR {
                return Err(Failure::retry("connection refused"));
            }
            seen.add(&message.body);
            Ok(())
        }
    };
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let (sending, times) = (queue.clone(), sent.clone());
    let producer = tokio::spawn(async move {
        for tick in 0..3600 {
            let mut bodies = vec![format!("well {tick}")];
            bodies.extend((tick % 3 == 0).then(|| format!("sick {tick}")));
            for body in bodies {
                times.lock().expect("nobody panics").insert(body.clone(), Instant::now());
                sending.send(body);
            }
            sleep(2 * SECOND).await;
        }
    });
    let all_done = async {
        producer.await.expect("sends");
        until_empty(queue.clone()).await;
    };
    let ledger = run(queue.clone(), handler, Options::default(), all_done).await.expect("works");
    assert_eq!(queue.dead_letters().len(), 0, "{ledger:?}");
    assert_eq!(ledger.done, 4800);
    assert!(
        begun.elapsed() < 2 * HOUR + 20 * MINUTE,
        "within minutes of the recovery: {:?}",
        begun.elapsed()
    );
    for (body, at) in sent.lock().expect("nobody panics").iter().filter(|(body, _)| body.starts_with("well"))
    {
        let took = log.time_of(body).expect("is done") - *at;
        assert!(took < SECOND, "{body} waited for {took:?}");
    }
    assert!(ledger.visibility_calls < 20_000, "calls are bounded: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_queue_bears_an_outage_of_hours() {
    let (queue, destination) = (queue(), Destination::default());
    queue.send("alone");
    destination.recovers_in(5 * HOUR);
    let work = run(queue.clone(), destination.handler(), Options::default(), until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((ledger.received, ledger.done, queue.dead_letters().len()), (1, 1, 0), "{ledger:?}");
}

/// Bad messages in front of a good one: how long the good one waits.
async fn wait_behind(bad: usize, options: Options) -> Duration {
    let queue = queue();
    for _ in 0..bad {
        queue.send("bad");
    }
    queue.send("good");
    let (begun, done) = (Instant::now(), Arc::new(Notify::new()));
    let finished = done.clone();
    let handler = move |message: Message| {
        let finished = finished.clone();
        async move {
            if message.body == "bad" {
                return Err(Failure::retry("db error"));
            }
            finished.notify_one();
            Ok(())
        }
    };
    let ledger = run(queue.clone(), handler, options, done.notified()).await.expect("works");
    assert_eq!((ledger.done, queue.dead_letters().len()), (1, 0), "{ledger:?}");
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_few_bad_messages_hold_up_no_good_one() {
    for bad in [25, 30, 900] {
        let waited = wait_behind(bad, Options::default()).await;
        assert!(waited < 30 * SECOND, "behind {bad}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_bad_messages_than_can_wait_here_hold_up_a_good_one_for_minutes_only() {
    let options = Options { max_parked: 20, ..Options::default() };
    let waited = wait_behind(25, options).await;
    assert!(waited < 5 * MINUTE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_whole_outage_stops_the_receives_once_no_more_can_wait() {
    let (queue, destination) = (queue(), Destination::default());
    for number in 0..2_000 {
        queue.send(number.to_string());
    }
    destination.recovers_in(HOUR);
    let options = Options { max_parked: 100, ..Options::default() };
    let work = run(queue.clone(), destination.handler(), options, until_empty(queue.clone()));
    let ledger = timeout(3 * HOUR, work).await.expect("recovers").expect("works");
    assert_eq!((ledger.done, queue.dead_letters().len()), (2_000, 0));
    assert!(ledger.pauses > 5 && ledger.received < 2_200, "few receives were used up: {ledger:?}");
}

/// A queue that refuses to extend leases, so that messages come back.
#[tokio::test(start_paused = true)]
async fn a_probe_that_meets_a_message_that_is_done_lets_the_next_one_go() {
    let (queue, destination) = (queue(), Destination::default());
    for number in 0..200 {
        queue.send(number.to_string());
    }
    destination.recovers_in(2 * MINUTE);
    let refused_changes = Arc::new(AtomicU32::new(3));
    let hasty = Faulty { refused_changes, ..standard(&queue) };
    let options = Options { max_parked: 0, breaker_after: 3, ..Options::default() };
    let work = run(hasty, destination.handler(), options, until_empty(queue.clone()));
    let ledger = timeout(6 * HOUR, work).await.expect("it closes again").expect("works");
    assert_eq!((ledger.done, queue.dead_letters().len()), (200, 0), "{ledger:?}");
}
