//! Messages per second of the worker against a raw receive-10, delete-batch-10 loop on the same server, both over
//! HTTP in this process. `cargo bench --bench throughput`

use std::io::Write as _;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use aws_smithy_http_client::Builder;
use onward_local::LocalQueue;
use onward_worker::{Message, Options, Sqs, run};
use tokio::task::JoinSet;

const MESSAGES: usize = 20_000;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let client = client(server.endpoint());
    let mut out = std::io::stdout();
    writeln!(out, "handlers | raw loops | raw msg/s | worker msg/s | ratio | calls a message")
        .expect("is open");
    for (handlers, loops) in [(1, 1), (8, 1), (10, 1), (64, 6)] {
        let (mut raw, mut worked, mut calls) = (0.0_f64, 0.0_f64, 0.0);
        for round in 0..ROUNDS {
            let url = server.create(&format!("raw-{handlers}-{round}")).await.expect("is allowed");
            fill(&client, &url).await;
            raw = raw.max(rate(raw_loops(&client, &url, loops).await));
            let url = server.create(&format!("worker-{handlers}-{round}")).await.expect("is allowed");
            fill(&client, &url).await;
            let (took, ledger) = work(&client, &url, handlers).await;
            if rate(took) > worked {
                worked = rate(took);
                calls = ledger.calls() as f64 / ledger.received as f64;
            }
        }
        let ratio = worked / raw;
        writeln!(out, "{handlers:8} | {loops:9} | {raw:9.0} | {worked:12.0} | {ratio:5.2} | {calls:.3}")
            .expect("is open");
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "bench"))
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

fn rate(took: Duration) -> f64 {
    MESSAGES as f64 / took.as_secs_f64()
}

async fn fill(client: &Client, url: &str) {
    for batch in 0..MESSAGES / 10 {
        let entries = (0..10).map(|index| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
            entry.message_body(format!("message {batch}-{index}")).build().expect("is whole")
        });
        let send = client.send_message_batch().queue_url(url).set_entries(Some(entries.collect()));
        assert!(send.send().await.expect("is sent").failed().is_empty());
    }
}

async fn raw_loops(client: &Client, url: &str, loops: usize) -> Duration {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..loops {
        let (client, url) = (client.clone(), url.to_owned());
        running.spawn(async move {
            loop {
                let receive = client.receive_message().queue_url(&url).max_number_of_messages(10);
                let received = receive.send().await.expect("is received").messages.unwrap_or_default();
                if received.is_empty() {
                    return;
                }
                let entries = received.iter().enumerate().map(|(index, message)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                    entry.set_receipt_handle(message.receipt_handle.clone()).build().expect("is whole")
                });
                let delete =
                    client.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect()));
                delete.send().await.expect("is deleted");
            }
        });
    }
    running.join_all().await;
    begun.elapsed()
}

/// Until the last message was handled and its delete was told; the stop is not counted.
async fn work(client: &Client, url: &str, handlers: usize) -> (Duration, onward_worker::Ledger) {
    let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(MESSAGES));
    let (done, finished) = tokio::sync::oneshot::channel();
    let done = std::sync::Arc::new(std::sync::Mutex::new(Some(done)));
    let handler = move |_: Message| {
        let (left, done) = (left.clone(), done.clone());
        async move {
            if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1
                && let Some(done) = done.lock().expect("nobody panics").take()
            {
                done.send(Instant::now()).expect("somebody waits");
            }
            Ok(())
        }
    };
    let options = Options { concurrency: handlers, wait: Duration::from_secs(1), ..Options::default() };
    let begun = Instant::now();
    let ended = std::cell::Cell::new(begun);
    let stop = async { ended.set(finished.await.expect("every message is handled")) };
    let ledger = run(Sqs::new(client.clone(), url), handler, options, stop).await.expect("works");
    assert_eq!(ledger.done, MESSAGES as u64);
    (ended.get() - begun, ledger)
}
