//! The worker in bad weather: outages, restarts, poison, failing heads of groups. Time is paused and an hour takes a second.
//! The queue's redrive policy is that of most queues, five receives.

mod faulty;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faulty::Faulty;
use onward_worker::{
    Budget, Failure, Ledger, MemoryQueue, Message, Monitor, Options, Process, Queue, run, run_in,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn queue() -> MemoryQueue {
    MemoryQueue::new().max_receive_count(5)
}

/// A budget that a test can use up.
fn short() -> Options {
    Options { budget: Budget { attempts: 5, time: 10 * SECOND }, ..Options::default() }
}

async fn until_empty(queue: MemoryQueue) {
    while !queue.is_empty() {
        sleep(Duration::from_millis(50)).await;
    }
}

/// What handlers have done, in their order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(String, Instant)>>>);

impl Log {
    fn add(&self, body: &str) {
        self.0.lock().expect("nobody panics").push((body.to_owned(), Instant::now()));
    }

    fn bodies(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics").iter().map(|(body, _)| body.clone()).collect()
    }

    fn time_of(&self, body: &str) -> Option<Instant> {
        self.0.lock().expect("nobody panics").iter().find(|(known, _)| known == body).map(|(_, at)| *at)
    }
}

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
    let recovery = destination.is_up.clone();
    tokio::spawn(async move {
        sleep(5 * HOUR).await;
        recovery.store(true, Ordering::Relaxed);
    });
    let work = run(queue.clone(), destination.handler(), Options::default(), until_empty(queue.clone()));
    let ledger = work.await.expect("works");
    assert_eq!((ledger.received, ledger.done, queue.dead_letters().len()), (1, 1, 0), "{ledger:?}");
}

/// Works a queue until it is empty, in a process that a message with the body `poison` kills after a while and that is started
/// again at once. Returns what was done.
async fn work_in_lives(queue: &MemoryQueue, is_standard: bool, takes: Duration, after: Duration) -> Log {
    work_until(queue, is_standard, takes, after, None, None).await.0
}

/// The same while nothing can be sent anew until a moment, and with a folder for what runs alone. Returns how often the process
/// died, too.
async fn work_until(
    queue: &MemoryQueue,
    is_standard: bool,
    takes: Duration,
    after: Duration,
    sends_from: Option<Instant>,
    mut records: Option<&mut Records>,
) -> (Log, usize) {
    let (log, mut kills) = (Log::default(), 0);
    while !queue.is_empty() {
        assert!(kills < 60, "the poison is dead by now");
        let process = Faulty { queue: queue.clone(), is_standard, sends_from, ..Faulty::default() };
        let (killed, seen) = (Arc::new(Notify::new()), log.clone());
        let (this, kill) = (process.clone(), killed.clone());
        let handler = move |message: Message| {
            let (this, kill, seen) = (this.clone(), kill.clone(), seen.clone());
            async move {
                this.lives().await;
                if message.body == "poison" {
                    sleep(after).await;
                    this.is_dead.store(true, Ordering::Relaxed);
                    kill.notify_one();
                }
                sleep(takes).await;
                this.lives().await;
                seen.add(&message.body);
                Ok::<_, Failure>(())
            }
        };
        let options = Options { wait: SECOND, ..Options::default() };
        let shared = records.as_mut().map(|records| records.process());
        let (shared, never) = (shared.unwrap_or_default(), std::future::pending());
        tokio::select! {
            ended = run_in(&shared, process.clone(), handler, options, Monitor::default(), never) => panic!("{ended:?}"),
            () = killed.notified() => kills += 1,
            () = until_empty(queue.clone()) => {}
        }
    }
    (log, kills)
}

/// The folder in which processes record what runs alone, as each of them left it. What is left of a dead process in a test still
/// runs, and must not write into the folder of the next one.
struct Records {
    home: tempfile::TempDir,
    lives: usize,
}

impl Records {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("is made"), lives: 0 }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(self.lives.to_string())
    }

    /// How many messages are suspects.
    fn len(&self) -> usize {
        let files = std::fs::read_dir(self.folder()).expect("is there");
        files
            .filter(|file| {
                file.as_ref().expect("is read").path().extension().is_some_and(|it| it == "suspect")
            })
            .count()
    }

    /// The next process.
    fn process(&mut self) -> Process {
        let last = self.folder();
        self.lives += 1;
        std::fs::create_dir(self.folder()).expect("is made");
        for file in last.read_dir().into_iter().flatten() {
            let file = file.expect("is read");
            std::fs::copy(file.path(), self.folder().join(file.file_name())).expect("is copied");
        }
        Process::recording_in(&self.folder()).expect("the folder is there")
    }
}

fn bodies_of_dead(queue: &MemoryQueue) -> Vec<String> {
    queue.dead_letters().into_iter().map(|(body, _)| body).collect()
}

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

/// What waits in a process while another message ends it pays with a receive. With its last one it is sent anew before it waits.
#[tokio::test(start_paused = true)]
async fn a_message_with_its_last_receive_outlives_any_number_of_kills() {
    let (queue, mut records) = (queue(), Records::new());
    queue.send("good");
    for _ in 0..20 {
        if queue.is_empty() {
            break;
        }
        let process = Faulty { queue: queue.clone(), is_standard: true, ..Faulty::default() };
        let this = process.clone();
        // Another message runs alone meanwhile, in another queue of the same process.
        let shared = records.process();
        let other = MemoryQueue::new();
        other.send("other");
        let busy = Faulty { queue: other, is_standard: true, ..Faulty::default() };
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
    let process = Faulty { queue: queue.clone(), is_standard: true, ..Faulty::default() };
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
    let faulty = Faulty { queue: queue.clone(), is_standard: true, ..Faulty::default() };
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

/// SQS keeps a group closed as long as a message of it is in flight, those behind the one that killed the process, too.
#[tokio::test(start_paused = true)]
async fn a_group_is_open_soon_after_its_head_has_killed_the_process() {
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
    let process = Faulty { queue: queue.clone(), ..Faulty::default() };
    let (killed, this) = (Arc::new(Notify::new()), process.clone());
    let kill = killed.clone();
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
            this.lives().await;
            Ok::<_, Failure>(())
        }
    };
    tokio::select! {
        ended = run(process, handler, Options::default(), std::future::pending()) => panic!("{ended:?}"),
        () = killed.notified() => {}
    }
    sleep(5 * SECOND).await;
    let next = queue.receive(1, Duration::ZERO, MINUTE).await.expect("is received");
    assert_eq!(next[0].group_id.as_deref(), Some("a"), "its head comes first: {next:?}");
    assert_eq!(next[0].body, "poison");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_the_process_dies_alone() {
    for place in [0, 7, 15, 29] {
        for after in [Duration::ZERO, 2 * SECOND] {
            kill(&[place], after).await;
        }
    }
}

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

#[tokio::test(start_paused = true)]
async fn several_messages_that_kill_the_process_take_no_other_along() {
    for after in [Duration::ZERO, 2 * SECOND, 8 * SECOND] {
        kill(&[0, 8, 20], after).await;
        kill(&[3, 4, 5, 6, 7], after).await;
        kill(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], after).await;
    }
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
    let recovery = destination.is_up.clone();
    tokio::spawn(async move {
        sleep(HOUR).await;
        recovery.store(true, Ordering::Relaxed);
    });
    let options = Options { max_parked: 100, ..Options::default() };
    let work = run(queue.clone(), destination.handler(), options, until_empty(queue.clone()));
    let ledger = timeout(3 * HOUR, work).await.expect("recovers").expect("works");
    assert_eq!((ledger.done, queue.dead_letters().len()), (2_000, 0));
    assert!(ledger.pauses > 5 && ledger.received < 2_200, "few receives were used up: {ledger:?}");
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
async fn one_process_never_runs_a_message_twice_at_once() {
    let refused_changes = Arc::new(AtomicU32::new(1));
    let hasty = Faulty { queue: queue(), is_standard: true, refused_changes, ..Faulty::default() };
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
async fn what_the_stop_abandons_is_visible_at_once() {
    let queue = queue();
    queue.send("stuck");
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let ledger = run(queue.clone(), handler, Options::default(), sleep(SECOND)).await.expect("works");
    assert_eq!((ledger.abandoned, queue.in_flight(), queue.len()), (1, 0, 1));
}

/// A queue that refuses every delete for some seconds, so that messages are done and come back.
#[tokio::test(start_paused = true)]
async fn a_probe_that_meets_a_message_that_is_done_lets_the_next_one_go() {
    let (queue, destination) = (queue(), Destination::default());
    for number in 0..200 {
        queue.send(number.to_string());
    }
    let recovery = destination.is_up.clone();
    tokio::spawn(async move {
        sleep(2 * MINUTE).await;
        recovery.store(true, Ordering::Relaxed);
    });
    let refused_changes = Arc::new(AtomicU32::new(3));
    let hasty = Faulty { queue: queue.clone(), is_standard: true, refused_changes, ..Faulty::default() };
    let options = Options { max_parked: 0, breaker_after: 3, ..Options::default() };
    let work = run(hasty, destination.handler(), options, until_empty(queue.clone()));
    let ledger = timeout(6 * HOUR, work).await.expect("it closes again").expect("works");
    assert_eq!((ledger.done, queue.dead_letters().len()), (200, 0), "{ledger:?}");
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
