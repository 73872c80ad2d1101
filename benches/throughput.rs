//! Measures the messages a second and their cost: the worker, raw loops (receive 10, delete batch of 10), and Node.js
//! peers. Each runs in a process of its own against the same server. `cargo bench --bench throughput -- [MILLISECONDS]`, which
//! each answer of the server takes longer, none by default: SQS is not on the same machine.
//!
//! The peers take part after `npm install --prefix benches/peers`.

#[expect(dead_code, reason = "the tests count its faults")]
#[path = "../tests/queues/proxy.rs"]
mod proxy;
mod support;

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageSystemAttributeName as Attribute;
use onward_local::LocalQueue;
use onward_worker::{Message, Options, Sqs, run};
use proxy::{Proxy, Weather};
use support::{alternating, client, delete, entry, send, spread, used};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const MESSAGES: usize = 20_000;
const ROUNDS: usize = 7;

/// The messages that their handlers keep in flight while the others are handled.
const SLOW: usize = 1_000;

fn main() {
    let given: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    match given.iter().position(|word| word == "client") {
        Some(at) => runtime.block_on(be_client(&given[at + 1..])),
        None => {
            let milliseconds = given.iter().find_map(|word| word.parse().ok()).unwrap_or(0);
            runtime.block_on(compare(Duration::from_millis(milliseconds)));
        }
    }
}

/// The measurements of a client process.
#[derive(Clone, Copy, Default)]
struct Measured {
    seconds: f64,
    cpu_ms: f64,
    peak_mib: f64,
    calls: f64,
}

async fn compare(distance: Duration) {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let network = match distance {
        Duration::ZERO => None,
        late => Some(Proxy::start(server.endpoint(), Weather { late, ..Weather::CLEAR }, 0).await),
    };
    let distant = network.as_ref().map_or(server.endpoint(), |network| &network.endpoint);
    let mut out = std::io::stdout();
    let head = "client            | handlers | msg/s | of raw: median (range) | calls/msg | CPU ms per 1,000 | of raw | peak MiB";
    writeln!(out, "{head}").expect("is open");
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let has_peers = peers.join("node_modules").exists();
    for (handlers, loops) in [(1, 1), (8, 1), (64, 6), (512, 6)] {
        let mut clients = vec![("raw", loops), ("raw, attributes", loops), ("worker", handlers)];
        if handlers == 64 {
            clients.push(("worker, 1,000 slow", handlers));
        }
        if has_peers && handlers < 512 {
            clients.extend([("sqs-consumer", handlers), ("squiss-ts", handlers)]);
        }
        let mut all: Vec<Vec<Measured>> = vec![Vec::new(); clients.len()];
        for round in 0..ROUNDS {
            for place in alternating(clients.len(), round) {
                let (name, handlers_or_loops) = clients[place];
                let url =
                    server.create(&format!("{}-{handlers}-{round}", name.replace([' ', ','], "-"))).await;
                let url = url.expect("is allowed");
                fill(&client(server.endpoint()), &url, name).await;
                let endpoint = distant.to_owned();
                let (peers, name) = (peers.clone(), name.to_owned());
                let work = move || run_client(&peers, &name, &endpoint, &url, handlers_or_loops);
                all[place].push(tokio::task::spawn_blocking(work).await.expect("does not panic"));
            }
        }
        for ((name, _), rounds) in clients.iter().zip(&all) {
            let of = |value: fn(&Measured) -> f64| spread(rounds.iter().map(value));
            let against_raw = |value: fn(&Measured) -> f64| {
                spread(rounds.iter().zip(&all[0]).map(|(own, raw)| value(own) / value(raw)))
            };
            let [lowest, ratio, highest] = against_raw(|measured| MESSAGES as f64 / measured.seconds);
            let [_, rate, _] = of(|measured| MESSAGES as f64 / measured.seconds);
            let [_, cpu, _] = of(|measured| measured.cpu_ms * 1000.0 / MESSAGES as f64);
            let [_, cpu_ratio, _] = against_raw(|measured| measured.cpu_ms);
            let ([_, calls, _], [_, peak, _]) =
                (of(|measured| measured.calls), of(|measured| measured.peak_mib));
            let spread = format!("{ratio:.2} ({lowest:.2} to {highest:.2})");
            writeln!(
                out,
                "{name:18}| {handlers:8} | {rate:5.0} | {spread:22} | {calls:9.3} | {cpu:16.1} | {cpu_ratio:6.2} | {peak:8.0}"
            )
            .expect("is open");
        }
    }
}

async fn fill(client: &Client, url: &str, name: &str) {
    let slow = if name.ends_with("slow") { SLOW } else { 0 };
    for batch in 0..slow / 10 {
        send(client, url, (0..10).map(|index| entry(format!("slow {batch}-{index}")))).await;
    }
    for batch in 0..MESSAGES / 10 {
        send(client, url, (0..10).map(|index| entry(format!("message {batch}-{index}")))).await;
    }
}

fn run_client(peers: &Path, name: &str, endpoint: &str, url: &str, handlers: usize) -> Measured {
    let mut command = if ["sqs-consumer", "squiss-ts"].contains(&name) {
        let mut node = Command::new("node");
        node.env("NODE_NO_WARNINGS", "1").arg(peers.join("work.mjs")).args([name, endpoint, url]);
        node.args([handlers.to_string(), MESSAGES.to_string()]);
        node
    } else {
        let mut own = Command::new(std::env::current_exe().expect("is a file"));
        own.args(["client", name, endpoint, url, &handlers.to_string()]);
        own
    };
    let output = command.stderr(Stdio::inherit()).output().expect("starts");
    assert!(output.status.success(), "{name}: {}", output.status);
    let line = output.stdout.lines().map_while(Result::ok).last().expect("says what it measured");
    let numbers: Vec<f64> = line.split_whitespace().map(|word| word.parse().expect("is a number")).collect();
    let [seconds, cpu_ms, peak_mib, calls] = numbers[..] else { panic!("{line}") };
    Measured { seconds, cpu_ms, peak_mib, calls }
}

async fn be_client(given: &[String]) {
    let [name, endpoint, url, handlers] = given else { panic!("{given:?}") };
    let handlers: usize = handlers.parse().expect("is a number");
    let client = client(endpoint);
    let (took, calls) = match name.as_str() {
        "raw" => (raw_loops(&client, url, handlers, false).await, 0.2),
        "raw, attributes" => (raw_loops(&client, url, handlers, true).await, 0.2),
        "worker" => work(&client, url, handlers, 0).await,
        _ => work(&client, url, handlers, SLOW).await,
    };
    let (cpu_ms, peak_mib) = used("self");
    writeln!(std::io::stdout(), "{} {cpu_ms} {peak_mib} {calls}", took.as_secs_f64()).expect("is open");
}

/// `attributes` requests what a worker needs of a message: its receive count, its group and its attributes.
async fn raw_loops(client: &Client, url: &str, loops: usize, attributes: bool) -> Duration {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..loops {
        let (client, url) = (client.clone(), url.to_owned());
        running.spawn(async move {
            loop {
                let mut receive = client.receive_message().queue_url(&url).max_number_of_messages(10);
                if attributes {
                    receive = receive
                        .message_system_attribute_names(Attribute::ApproximateReceiveCount)
                        .message_system_attribute_names(Attribute::MessageGroupId)
                        .message_system_attribute_names(Attribute::AwsTraceHeader)
                        .message_attribute_names("All");
                }
                let received = receive.send().await.expect("is received").messages.unwrap_or_default();
                if received.is_empty() {
                    return;
                }
                delete(&client, &url, &received).await;
            }
        });
    }
    running.join_all().await;
    begun.elapsed()
}

/// The time until the last message was handled; the stop does not count. The handlers hold the slow messages until then.
async fn work(client: &Client, url: &str, handlers: usize, slow: usize) -> (Duration, f64) {
    let (left, finished, over) =
        (Arc::new(AtomicUsize::new(MESSAGES)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (done, held) = (finished.clone(), over.clone());
    let handler = move |message: Message| {
        let (left, done, held) = (left.clone(), done.clone(), held.clone());
        async move {
            if message.body.starts_with("slow") {
                held.notified().await;
            } else if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                done.notify_one();
            }
            Ok(())
        }
    };
    let options =
        Options { concurrency: handlers + slow, wait: Duration::from_secs(1), ..Options::default() };
    let begun = Instant::now();
    let ended = std::cell::Cell::new(Duration::ZERO);
    let stop = async {
        finished.notified().await;
        ended.set(begun.elapsed());
        over.notify_waiters();
    };
    let ledger = run(Sqs::new(client.clone(), url), handler, options, stop).await.expect("works");
    assert_eq!(ledger.done, (MESSAGES + slow) as u64);
    (ended.get(), ledger.calls() as f64 / ledger.received as f64)
}
