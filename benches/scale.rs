//! Simulates fleets of workers on a virtual clock: what 1 to 1,000 nodes and 1 to 100 queues ask of SQS, what that costs, and how long
//! messages wait. The workers are real; the queue is a model of SQS with a latency. `cargo bench --bench scale`

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use onward_worker::{
    Attempts, Death, Failure, Message, Monitor, Options, Process, Queue, QueueError, Receipt, Refused, run_in,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Of a call within a region, there and back.
const LATENCY: Duration = Duration::from_millis(6);

/// How long each fleet works, on the virtual clock.
const SIMULATED: Duration = Duration::from_secs(120);

const MONTH: f64 = 30.0 * 24.0 * 3600.0;

/// A fleet, and the messages that arrive in each of its queues a second.
struct Fleet {
    nodes: usize,
    queues: usize,
    rate: u64,
    /// How long messages are collected for one call.
    window: Duration,
    /// How long a handler takes.
    work: Duration,
}

fn main() {
    let mut out = std::io::stdout();
    let head = " nodes | queues | messages/s | window ms | work ms | calls/s | calls/msg | dollars/month | waits ms: p50 |    p99 | simulated in s";
    writeln!(out, "{head}").expect("is open");
    for (nodes, queues, rate, window, work) in [
        (1, 1, 0, 0, 50),
        (10, 1, 0, 0, 50),
        (100, 1, 0, 0, 50),
        (1_000, 1, 0, 0, 50),
        (10, 10, 0, 0, 50),
        (10, 100, 0, 0, 50),
        (1, 1, 10, 0, 50),
        (1, 1, 10, 1_000, 50),
        (1, 1, 100, 0, 50),
        (1, 1, 100, 200, 50),
        (10, 1, 100, 0, 50),
        (10, 1, 100, 200, 50),
        (10, 1, 100, 1_000, 50),
        (10, 1, 1_000, 0, 50),
        (10, 1, 1_000, 200, 50),
        (10, 10, 100, 0, 50),
        (10, 10, 100, 1_000, 50),
        (100, 1, 1_000, 0, 50),
        (100, 1, 1_000, 1_000, 50),
        (100, 1, 10_000, 0, 50),
        (100, 1, 10_000, 200, 50),
        (1_000, 1, 1_000, 0, 50),
        (1_000, 1, 1_000, 5_000, 50),
        (10, 1, 100, 0, 500),
        (10, 1, 100, 1_000, 500),
    ] {
        let begun = std::time::Instant::now();
        let fleet = Fleet {
            nodes,
            queues,
            rate,
            window: Duration::from_millis(window),
            work: Duration::from_millis(work),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let Simulated { calls, mut waits } = runtime.expect("is made").block_on(simulate(&fleet));
        let each = match waits.len() {
            0 => "-".to_owned(),
            all => format!("{:.3}", calls as f64 / all as f64),
        };
        let calls = calls as f64 / SIMULATED.as_secs_f64();
        waits.sort_unstable();
        let quantile = |of: f64| match waits.len() {
            0 => "-".to_owned(),
            all => format!("{:.0}", waits[((all - 1) as f64 * of) as usize] as f64 / 1e3),
        };
        let dollars = calls * MONTH * 0.40 / 1e6;
        let (total, took) = (rate * queues as u64, begun.elapsed().as_secs_f64());
        writeln!(
            out,
            "{nodes:6} | {queues:6} | {total:10} | {window:9} | {work:7} | {calls:7.1} | {each:>9} | {dollars:13.2} | {:>13} | {:>6} | {took:.1}",
            quantile(0.5),
            quantile(0.99)
        )
        .expect("is open");
    }
}

struct Simulated {
    calls: u64,
    /// How long each message waited until its handler began, in microseconds.
    waits: Vec<u64>,
}

async fn simulate(fleet: &Fleet) -> Simulated {
    let (stop, began) = (CancellationToken::new(), Instant::now());
    let waits = Arc::new(Mutex::new(Vec::new()));
    let queues: Vec<_> = (0..fleet.queues).map(|_| Model::default()).collect();
    let (mut workers, mut monitors) = (JoinSet::new(), Vec::new());
    for _ in 0..fleet.nodes {
        let process = Process::default();
        for queue in &queues {
            let (process, queue, stop, waits) = (process.clone(), queue.clone(), stop.clone(), waits.clone());
            let work = fleet.work;
            let handler = move |message: Message| {
                let waits = waits.clone();
                async move {
                    let sent: u64 = message.body.parse()?;
                    let waited = micros(began) - sent;
                    waits.lock().unwrap_or_else(PoisonError::into_inner).push(waited);
                    sleep(work).await;
                    Ok::<_, Failure>(())
                }
            };
            let monitor = Monitor::default();
            let options = Options { batching_window: fleet.window, ..Options::default() };
            monitors.push(monitor.clone());
            workers.spawn(async move {
                let stopping = stop.cancelled_owned();
                run_in(&process, queue, handler, options, monitor, stopping).await
            });
        }
    }
    // Of a fleet that has settled.
    sleep(Duration::from_secs(20)).await;
    let calls = || monitors.iter().map(|monitor| monitor.ledger().calls()).sum::<u64>();
    let before = calls();
    let sending = queues.iter().map(|queue| queue.fill(fleet.rate, began));
    futures_util::future::join_all(sending).await;
    let calls = calls() - before;
    let waits = std::mem::take(&mut *waits.lock().unwrap_or_else(PoisonError::into_inner));
    stop.cancel();
    while let Some(ended) = workers.join_next().await {
        ended.expect("does not panic").expect("works");
    }
    Simulated { calls, waits }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).expect("is no century")
}

/// A standard queue of SQS, as far as its calls are concerned: a message goes to the poll that has waited the longest, and a poll that
/// finds several brings up to ten.
#[derive(Debug, Clone, Default)]
struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    messages: Mutex<VecDeque<u64>>,
    /// A permit for each message.
    there: Semaphore,
    received: AtomicU64,
}

impl Default for Inner {
    fn default() -> Self {
        Self { messages: Mutex::default(), there: Semaphore::new(0), received: AtomicU64::new(0) }
    }
}

impl Model {
    /// Sends messages at even intervals.
    async fn fill(&self, rate: u64, began: Instant) {
        let Some(interval) =
            SIMULATED.checked_div(u32::try_from(rate * SIMULATED.as_secs()).expect("is small"))
        else {
            return sleep(SIMULATED).await;
        };
        let mut next = Instant::now();
        let end = next + SIMULATED;
        while next < end {
            tokio::time::sleep_until(next).await;
            self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).push_back(micros(began));
            self.0.there.add_permits(1);
            next += interval;
        }
    }

    fn take(&self) -> Message {
        let sent = self.0.messages.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let number = self.0.received.fetch_add(1, Ordering::Relaxed);
        Message {
            id: number.to_string(),
            body: sent.expect("a permit is a message").to_string(),
            receive_count: 1,
            receipt: Receipt(number.to_string()),
            ..Message::default()
        }
    }
}

impl Queue for Model {
    fn name(&self) -> &str {
        "model"
    }

    fn is_fifo(&self) -> bool {
        false
    }

    async fn receive(&self, max: usize, wait: Duration, _: Duration) -> Result<Vec<Message>, QueueError> {
        sleep(LATENCY / 2).await;
        let mut messages = Vec::new();
        if let Ok(Ok(first)) = timeout(wait, self.0.there.acquire()).await {
            first.forget();
            messages.push(self.take());
            while messages.len() < max
                && let Ok(another) = self.0.there.try_acquire()
            {
                another.forget();
                messages.push(self.take());
            }
        }
        sleep(LATENCY / 2).await;
        Ok(messages)
    }

    async fn delete(&self, _: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        sleep(LATENCY).await;
        Ok(Vec::new())
    }

    async fn change_visibility(&self, _: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        sleep(LATENCY).await;
        Ok(Vec::new())
    }

    async fn send_to_dead_letters(&self, _: &Message, _: &Death) -> Result<bool, QueueError> {
        Ok(false)
    }

    async fn renew(&self, _: &Message, _: Attempts, _: Duration) -> Result<bool, QueueError> {
        Ok(false)
    }
}
