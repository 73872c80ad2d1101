//! Messages that end the process.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, Queue as _, run, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::faulty::Faulty;
use crate::support::{HOUR, Log, MINUTE, SECOND, often_received, options, queue, standard, until_empty};

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
