//! Traces and metrics as a collector receives them: `cargo test --features otel --test otel`.

#[path = "../benches/support/mod.rs"]
#[expect(dead_code, reason = "the benches use the rest")]
mod sqs;
#[path = "moments/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::MessageAttributeValue;
use support::{Database, Queue, Running, arguments, production, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDER: &str = "00f067aa0ba902b7";

/// A request: its first line and its headers, and its body.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { head, body })
    }

    fn contains(&self, part: &[u8]) -> bool {
        self.body.windows(part.len()).any(|window| window == part)
    }
}

/// A server that answers every request with 200 and an empty body, and passes the request to the test.
fn server() -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("is bound"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                while let Some(request) = Request::read(&stream) {
                    let answered = (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    if answered.is_err() || sender.send(request).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, requests)
}

/// What a collector has received, in whatever order it came.
struct Exported {
    requests: Receiver<Request>,
    seen: Vec<Request>,
}

impl Exported {
    /// A request whose body holds all of these.
    fn with(&mut self, parts: &[&[u8]]) -> &Request {
        let begun = Instant::now();
        let is_it = |request: &Request| parts.iter().all(|part| request.contains(part));
        while !self.seen.iter().any(is_it) {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            let request = self.requests.recv_timeout(left).unwrap_or_else(|error| {
                let parts: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
                panic!("nothing with {parts:?}: {error}")
            });
            self.seen.push(request);
        }
        self.seen.iter().find(|request| is_it(request)).expect("was just seen")
    }
}

/// Much longer than anything takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("is hexadecimal"))
        .collect()
}

/// Sends a message whose sender names a trace.
fn send(queue: &Queue, body: &str) {
    let endpoint = queue.url.split("/000000000000").next().expect("has a host");
    let value =
        MessageAttributeValue::builder().data_type("String").string_value(format!("00-{TRACE}-{SENDER}-01"));
    let send = async {
        let send = sqs::client(endpoint).send_message().queue_url(&queue.url).message_body(body);
        send.message_attributes("traceparent", value.build().expect("is whole"))
            .send()
            .await
            .expect("is sent");
    };
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(send);
}

#[test]
fn a_collector_gets_the_trace_through_the_worker_and_the_counters() {
    let (database, queue) = (Database::create(), Queue::create());
    let migrated = run(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let (destination, delivered) = server();
    let (collector, requests) = server();
    let mut exported = Exported { requests, seen: Vec::new() };
    database.query(&format!("INSERT INTO destinations (name, url) VALUES ('crm', '{destination}')"));

    let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector).env("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc");
    command
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .env("HTTP_ADDR", "127.0.0.1:0");
    // Spans that the log leaves out are exported too.
    command
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("RUST_LOG", "warn");
    let serving = Running::start(&mut command);
    send(&queue, r#"{"destination": "crm", "body": 1}"#);
    send(&queue, r#"{"destination": "nowhere", "body": 1}"#);

    let called = delivered.recv_timeout(DEADLINE).expect("is delivered").head;
    let passed_on =
        called.lines().find_map(|line| line.strip_prefix("traceparent: ")).expect("is a child").trim();
    let fields: Vec<_> = passed_on.split('-').collect();
    assert_eq!((fields[1], fields[3]), (TRACE, "01"), "{passed_on}");
    assert_ne!(fields[2], SENDER, "the worker's own span comes between");

    let (trace, sender, own) = (bytes(TRACE), bytes(SENDER), bytes(fields[2]));
    let name = b"process deliveries".as_slice();
    let spans = exported.with(&[
        name,
        &trace,
        &sender,
        &own,
        b"aws_sqs",
        b"service.name",
        b"deployment.environment.name",
    ]);
    assert!(spans.head.starts_with("POST /v1/traces "), "{}", spans.head);
    assert!(spans.head.to_lowercase().contains("x-token: abc"), "{}", spans.head);
    exported.with(&[name, b"rejected", b"there is no destination `nowhere`"]);
    let counted: &[&[u8]] =
        &[b"onward.messages", b"onward.sqs.calls", b"messaging.process.duration", b"rejected"];
    let metrics = exported.with(counted);
    assert!(metrics.head.starts_with("POST /v1/metrics "), "{}", metrics.head);
    serving.signal("-TERM");
    let (status, log) = serving.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("process deliveries"), "it is the collector's, not the log's: {log}");
}

#[test]
fn a_wrong_exporter_is_reported_and_a_disabled_one_is_not() {
    let (database, queue) = (Database::create(), Queue::create());
    let serve = |variables: &[(&str, &str)]| {
        let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
        run(command.env("HTTP_ADDR", "127.0.0.1:0").envs(variables.iter().copied()))
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (variable, value) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_EXPORTER", "zipkin")] {
        let said = serve(&[endpoint, (variable, value)]);
        assert_eq!(said.code, Some(3), "{}", said.stderr);
        assert!(said.stderr.contains(&format!("{variable} is `{value}`")), "{}", said.stderr);
    }
    // The gate refuses the empty database, so the app ends in every case, with or without exporters.
    for variables in [&[endpoint][..], &[endpoint, ("OTEL_SDK_DISABLED", "true")], &[]] {
        let said = serve(variables);
        assert_eq!(said.code, Some(4), "{}", said.stderr);
    }
}
