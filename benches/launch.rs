//! Measures whole processes: `app migrate` with nothing to do, and `app serve` from its start to the first delivered
//! message. `cargo bench --bench launch` measures the release build of the app.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::{Echo, LocalQueue, PrivatePostgres};
use tokio_postgres::NoTls;

const ROUNDS: usize = 30;

#[tokio::main]
async fn main() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let queue = LocalQueue::start(0).await.expect("a port is free");
    let queue_url = queue.create("deliveries").await.expect("is allowed");
    let echo = Echo::start().await.expect("a port is free");
    let database = server.url("app");
    let app = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_app"));
        command.args(arguments).env("APP_ENV", "production").env("RUST_LOG", "info");
        command.env("DATABASE_URL", &database).env("QUEUE_URL", &queue_url);
        command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    assert!(app(&["migrate"]).status().expect("starts").success());
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let upsert =
        "INSERT INTO destinations (name, url) VALUES ('echo', $1) ON CONFLICT (name) DO UPDATE SET url = $1";
    client.execute(upsert, &[&echo.url()]).await.expect("is written");

    let migrate = measure(|| assert!(app(&["migrate"]).status().expect("starts").success()));
    let query = async || {
        let begun = Instant::now();
        let (client, connection) = tokio_postgres::connect(&database, NoTls).await.expect("connects");
        tokio::spawn(connection);
        client.simple_query("SELECT * FROM schema_journal").await.expect("is read");
        begun.elapsed()
    };
    let mut raw = Vec::new();
    for _ in 0..ROUNDS {
        raw.push(query().await);
    }
    let mut serve = Vec::new();
    for _ in 0..ROUNDS / 3 {
        let body = r#"{"destination": "echo", "body": {}}"#;
        assert!(app(&["queue", "send", body]).status().expect("starts").success());
        let begun = Instant::now();
        let mut child = app(&["serve"]).spawn().expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
        let done = lines.map_while(Result::ok).any(|line| line.contains("message done"));
        serve.push(begun.elapsed());
        assert!(done, "a message is delivered");
        child.kill().expect("runs");
        child.wait().expect("ends");
    }
    let mut out = std::io::stdout();
    let mut show = |what: &str, times: &mut Vec<Duration>| {
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64() * 1000.0;
        writeln!(out, "{what:60} median {median:7.1} ms of {}", times.len()).expect("is open");
    };
    show("connect and read the journal, no process (the floor)", &mut raw);
    show("app migrate with nothing to do, whole process", &mut migrate.clone());
    show("app serve, process start to first message done", &mut serve);
}

fn measure(mut run: impl FnMut()) -> Vec<Duration> {
    let once = |_| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..ROUNDS).map(once).collect()
}
