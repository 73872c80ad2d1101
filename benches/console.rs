//! Measures the console: the overview of twenty queues (bytes, time of an answer), and the worker's throughput with ten open
//! overviews and with none, in alternating rounds. `cargo bench --bench console`

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
        // A kill would leave messages and open receives behind, which the next round would wait for.
        let pid = child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
        child.wait().await.expect("ends");
        took
    }
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

async fn get(address: &str, path: &str) -> Option<usize> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request(path).as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(answer.len())
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

    // It would work the messages of the others.
    looked_at.kill().await.expect("ends");
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
