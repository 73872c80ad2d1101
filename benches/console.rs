//! Measures the console: the overview of twenty queues (bytes, time of an answer), the processor time that ten open overviews take,
//! 100,000 dead letters (a look, a redrive of a group), and the worker's throughput with ten open overviews and with none, in
//! alternating rounds. `cargo bench --bench console`

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName as Attribute};
use onward::{App, Failure, Json, Queue};
use onward_local::{LocalQueue, PrivatePostgres};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

#[expect(dead_code, reason = "other benches use the rest")]
mod support;

const QUEUES: usize = 20;
const MESSAGES: usize = 30_000;
const ROUNDS: usize = 5;
const CONSOLES: usize = 10;
const LOOKS: usize = 200;
const LETTERS: usize = 100_000;
const TOKEN: &str = "a-token-of-a-bench-0123456789";

/// For how long the processor time of open overviews is counted.
const WATCHED: Duration = Duration::from_secs(60);

fn name(index: usize) -> String {
    format!("queue-{index:02}")
}

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "serve" || word == "migrate") {
        return serve();
    }
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(measure());
    ExitCode::SUCCESS
}

static DONE: AtomicUsize = AtomicUsize::new(0);

/// Says on stdout when the first message begins and when the last one is done.
async fn handle(Json(_): Json<Value>) -> Result<(), Failure> {
    match DONE.fetch_add(1, Ordering::Relaxed) + 1 {
        1 => writeln!(std::io::stdout(), "first").map_err(|error| Failure::retry(error.to_string())),
        MESSAGES => writeln!(std::io::stdout(), "last").map_err(|error| Failure::retry(error.to_string())),
        _ => Ok(()),
    }
}

fn serve() -> ExitCode {
    let mut app = App::new(onward::scripts!(), |_| async { Ok(()) });
    for index in 0..QUEUES {
        let queue: Queue<Value> = Queue::new(Box::leak(name(index).into_boxed_str()));
        app = app.queue(queue.handler(handle).concurrency(16));
    }
    app.run()
}

struct World {
    server: LocalQueue,
    database: String,
    urls: Vec<String>,
}

impl World {
    fn app(&self, command: &str, address: &str) -> Command {
        let mut app = Command::new(std::env::current_exe().expect("is a file"));
        app.arg(command).env("APP_ENV", "production").env("HTTP_ADDR", address).env("RUST_LOG", "error");
        app.env("AWS_ACCESS_KEY_ID", "x")
            .env("AWS_SECRET_ACCESS_KEY", "x")
            .env("DATABASE_URL", &self.database);
        app.env("QUEUE_URL", &self.urls[0]);
        for (index, url) in self.urls.iter().enumerate().skip(1) {
            app.env(format!("QUEUE_URL_{}", name(index).to_uppercase().replace('-', "_")), url);
        }
        app.stdin(Stdio::null()).stdout(Stdio::piped());
        app
    }

    /// Puts dead letters of three reasons into a queue of their own.
    async fn bury(&self) {
        let client = support::client(self.server.endpoint());
        let dead = format!("{}-dead", self.urls[0]);
        for batch in 0..LETTERS / 10 {
            let entries = (0..10).map(|index| {
                let number = batch * 10 + index;
                let reason = ["the destination answered 503", "connection refused", "the order is closed"];
                let rejected =
                    format!(r#"{{"reason": "{} ({number})", "queue": "{}"}}"#, reason[number % 3], name(0));
                let value = MessageAttributeValue::builder().data_type("String").string_value(rejected);
                let value = value.build().expect("has a type");
                support::entry(format!("{{\"order\": {number}}}"))
                    .message_attributes("onward.rejected", value)
            });
            support::send(&client, &dead, entries).await;
        }
    }

    async fn fill(&self) {
        let client = support::client(self.server.endpoint());
        for batch in 0..MESSAGES / 10 {
            let entries = (0..10).map(|index| support::entry((batch * 10 + index).to_string()));
            support::send(&client, &self.urls[0], entries).await;
        }
    }

    /// Works all messages with so many overviews open. Returns how long it took.
    async fn work(&self, consoles: usize) -> Duration {
        self.fill().await;
        let address = free_address();
        let mut app = tokio::process::Command::from(self.app("serve", &address));
        let mut child = app.kill_on_drop(true).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
        let _open: Vec<_> = (0..consoles).map(|_| tokio::spawn(watch(address.clone()))).collect();
        let mut begun = Instant::now();
        while let Some(line) = lines.next_line().await.expect("is text") {
            match line.as_str() {
                "first" => begun = Instant::now(),
                "last" => break,
                _ => {}
            }
        }
        let took = begun.elapsed();
        stop(child).await;
        took
    }
}

/// Stops an app in order: a kill would leave messages and open receives behind, which the next one would wait for.
async fn stop(mut app: tokio::process::Child) {
    let pid = app.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
    app.wait().await.expect("ends");
}

fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    free.local_addr().expect("is bound").to_string()
}

/// Keeps an overview open, as a browser does: the page, then its changes.
async fn watch(address: String) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await
            && stream.write_all(request("/console/events").as_bytes()).await.is_ok()
        {
            let mut buffer = [0; 64 * 1024];
            while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

async fn exchange(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

async fn get(address: &str, path: &str) -> Option<usize> {
    exchange(address, &request(path)).await.map(|answer| answer.len())
}

/// Somebody who has logged in.
struct Visitor<'a> {
    address: &'a str,
    cookie: String,
}

impl<'a> Visitor<'a> {
    async fn log_in(address: &'a str) -> Self {
        let mut visitor = Self { address, cookie: String::new() };
        let entered = visitor.post("/console/login", &format!("token={TOKEN}")).await;
        between(&entered, "set-cookie: ", ";").clone_into(&mut visitor.cookie);
        visitor
    }

    async fn get(&self, path: &str) -> String {
        let Self { address, cookie } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        );
        exchange(address, &request).await.expect("answers")
    }

    async fn post(&self, path: &str, form: &str) -> String {
        let Self { address, cookie } = self;
        let length = form.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{form}"
        );
        exchange(address, &request).await.expect("answers")
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}"));
    rest.split_once(behind).map_or(rest, |(found, _)| found)
}

/// Looks at many dead letters, and sends one group of them back.
async fn letters(world: &World, out: &mut impl Write) {
    world.bury().await;
    let address = free_address();
    let mut command = world.app("serve", &address);
    command.env("CONSOLE_TOKEN", TOKEN);
    let mut app = tokio::process::Command::from(command);
    let app = app.kill_on_drop(true).spawn().expect("starts");
    while get(&address, "/readyz").await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = app.id().expect("it runs").to_string();
    let visitor = Visitor::log_in(&address).await;
    let dead = format!("/console/dead/{}", name(0));
    for path in [dead.clone(), format!("{dead}?more=1"), format!("{dead}?more=1&search=99")] {
        let begun = Instant::now();
        let page = visitor.get(&path).await;
        let (took, mib) = (begun.elapsed().as_secs_f64(), support::used(&pid).1);
        writeln!(out, "{path}: {} bytes after {took:.2} s, {mib:.0} MiB at the most", page.len())
            .expect("is open");
    }
    let group = "group=connection+refused+%28%23%29";
    let csrf = visitor.get(&format!("{dead}/confirm?action=redrive&{group}")).await;
    let csrf = between(&csrf, "name=\"csrf\" value=\"", "\"");
    let begun = Instant::now();
    let started = visitor.post(&format!("{dead}/act"), &format!("action=redrive&{group}&csrf={csrf}")).await;
    let action = between(&started, "location: ", "\r\n").to_owned();
    let ended = loop {
        let page = visitor.get(&action).await;
        if page.contains("It has ended") {
            break page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let (took, mib) = (begun.elapsed().as_secs_f64(), support::used(&pid).1);
    let said = between(&ended, "<p class=\"result\">", "</p>");
    writeln!(out, "a redrive of a group: `{said}` after {took:.1} s, {mib:.0} MiB at the most")
        .expect("is open");
    // The worker handles what was sent back; the rounds begin with an empty queue.
    let client = support::client(world.server.endpoint());
    let names = [Attribute::ApproximateNumberOfMessages, Attribute::ApproximateNumberOfMessagesNotVisible];
    loop {
        let ask = client.get_queue_attributes().queue_url(&world.urls[0]);
        let counts = ask.set_attribute_names(Some(names.to_vec())).send().await.expect("answers");
        if counts.attributes.unwrap_or_default().values().all(|count| count == "0") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop(app).await;
}

/// The share of a core that open overviews take in an app that has nothing else to do.
async fn cost(address: &str, pid: &str, out: &mut impl Write) {
    let spent = async || {
        let begun = support::used(pid).0;
        tokio::time::sleep(WATCHED).await;
        (support::used(pid).0 - begun) / WATCHED.as_secs_f64() / 10.0
    };
    let without = spent().await;
    let open: Vec<_> = (0..CONSOLES).map(|_| tokio::spawn(watch(address.to_owned()))).collect();
    let with = spent().await;
    open.iter().for_each(tokio::task::JoinHandle::abort);
    writeln!(out, "idle, without: {without:.2} % of a core; with {CONSOLES} overviews: {with:.2} %")
        .expect("is open");
}

async fn measure() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-postgres");
    let postgres = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let postgres = postgres.expect("does not panic").expect("PostgreSQL starts");
    let server = LocalQueue::start(0).await.expect("a port is free");
    let mut urls = Vec::new();
    for index in 0..QUEUES {
        urls.push(server.create(&name(index)).await.expect("is allowed"));
    }
    let world = World { server, database: postgres.url("app"), urls };
    assert!(world.app("migrate", "127.0.0.1:0").status().expect("starts").success());
    let mut out = std::io::stdout();

    let address = free_address();
    let mut app = tokio::process::Command::from(world.app("serve", &address));
    let mut looked_at = app.kill_on_drop(true).spawn().expect("starts");
    while get(&address, "/readyz").await.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The plots have a point for each whole minute.
    tokio::time::sleep(Duration::from_secs(185)).await;
    for path in ["/console", "/console/in-flight", "/console/instance", "/metrics"] {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOKS {
            let begun = Instant::now();
            bytes = get(&address, path).await.expect("answers");
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let ms = |share: usize| times[LOOKS * share / 100].as_secs_f64() * 1e3;
        writeln!(out, "{path:20} {bytes:7} bytes, median {:.2} ms, p99 {:.2} ms", ms(50), ms(99))
            .expect("is open");
    }

    let pid = looked_at.id().expect("it runs").to_string();
    cost(&address, &pid, &mut out).await;
    // It would work the messages of the others.
    looked_at.kill().await.expect("ends");
    letters(&world, &mut out).await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        // Each pair in the other order.
        let (without, with) = match round % 2 {
            0 => {
                let without = world.work(0).await;
                (without, world.work(CONSOLES).await)
            }
            _ => {
                let with = world.work(CONSOLES).await;
                (world.work(0).await, with)
            }
        };
        let rate = |took: Duration| MESSAGES as f64 / took.as_secs_f64();
        let ratio = rate(with) / rate(without);
        writeln!(
            out,
            "{:6.0} msg/s without, {:6.0} with {CONSOLES} overviews: {ratio:.3}",
            rate(without),
            rate(with)
        )
        .expect("is open");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    writeln!(out, "median {:.3}, from {:.3} to {:.3}", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1])
        .expect("is open");
}
