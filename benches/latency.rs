//! Measures the time of a message from the send call to the handler, idle and at half of the worker's maximum load. A
//! raw receive loop is the comparison. `cargo bench --bench latency`

#[expect(dead_code, reason = "other benches use the rest")]
mod support;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use onward_local::LocalQueue;
use onward_worker::{Message, Options, Sqs, run};
use support::{client, delete, entry, send};
use tokio::sync::Notify;

const IDLE: usize = 200;
const LOADED: usize = 50_000;

/// About half of the worker's maximum with eight handlers, on the same two cores as server and sender.
const PER_SECOND: u64 = 10_000;

type Log = Arc<Mutex<Vec<Duration>>>;

#[tokio::main]
async fn main() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let client = client(server.endpoint());
    let mut out = std::io::stdout();
    writeln!(out, "{:28} | p50 ms | p99 ms", "what").expect("is open");
    let began = Instant::now();
    for (what, count, load) in [("idle", IDLE, 0), ("half of the load", LOADED, PER_SECOND)] {
        for of_worker in [false, true] {
            let name = format!("{}-{of_worker}", if load == 0 { "idle" } else { "load" });
            let url = server.create(&name).await.expect("is allowed");
            let mut times = if of_worker {
                worker(&client, &url, began, count, load).await
            } else {
                raw(&client, &url, began, count, load).await
            };
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
            let who = if of_worker { "worker" } else { "raw loop" };
            writeln!(out, "{:28} | {:6.2} | {:6.2}", format!("{who}, {what}"), at(0.5), at(0.99))
                .expect("is open");
        }
    }
}

/// Sends each message with its send time as the body. Idle, it sends a message after the one before was handled. Under
/// load, it sends batches of ten at an even rate.
async fn sender(client: Client, url: String, began: Instant, count: usize, load: u64, handled: Arc<Notify>) {
    let now = || began.elapsed().as_nanos().to_string();
    if load == 0 {
        for _ in 0..count {
            send(&client, &url, [entry(now())]).await;
            handled.notified().await;
        }
        return;
    }
    let mut pace = tokio::time::interval(Duration::from_secs(10) / u32::try_from(load).expect("is small"));
    for _ in 0..count / 10 {
        pace.tick().await;
        send(&client, &url, (0..10).map(|_| entry(now()))).await;
    }
}

fn took(began: Instant, body: &str) -> Duration {
    began.elapsed() - Duration::from_nanos(body.parse().expect("is a time"))
}

async fn worker(client: &Client, url: &str, began: Instant, count: usize, load: u64) -> Vec<Duration> {
    let (log, handled, all): (Log, _, _) = (Log::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let sending = tokio::spawn(sender(client.clone(), url.to_owned(), began, count, load, handled.clone()));
    let (seen, told, done) = (log.clone(), handled.clone(), all.clone());
    let handler = move |message: Message| {
        let (seen, told, done) = (seen.clone(), told.clone(), done.clone());
        async move {
            let mut seen = seen.lock().expect("nobody panics");
            seen.push(took(began, &message.body));
            told.notify_one();
            if seen.len() == count {
                done.notify_one();
            }
            Ok(())
        }
    };
    let options = Options { concurrency: 8, wait: Duration::from_secs(1), ..Options::default() };
    run(Sqs::new(client.clone(), url), handler, options, all.notified()).await.expect("works");
    sending.await.expect("does not panic");
    log.lock().expect("nobody panics").clone()
}

async fn raw(client: &Client, url: &str, began: Instant, count: usize, load: u64) -> Vec<Duration> {
    let handled = Arc::new(Notify::new());
    let sending = tokio::spawn(sender(client.clone(), url.to_owned(), began, count, load, handled.clone()));
    let mut log = Vec::with_capacity(count);
    while log.len() < count {
        let receive = client.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(1);
        let received = receive.send().await.expect("is received").messages.unwrap_or_default();
        if received.is_empty() {
            continue;
        }
        log.extend(received.iter().map(|message| took(began, message.body().unwrap_or_default())));
        handled.notify_one();
        delete(client, url, &received).await;
    }
    sending.await.expect("does not panic");
    log
}
