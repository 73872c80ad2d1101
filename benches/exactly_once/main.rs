//! Measures what an inbox and an outbox cost: the app of a process of its own, against raw loops in processes of their own, on
//! the same PostgreSQL and the same queue. `cargo bench --bench exactly_once`
//!
//! Two job queues on PostgreSQL take part after `npm install --prefix benches/peers`.
//!
//! `-- retention` measures instead what a large inbox costs: none, five million rows, and five million of which some are deleted
//! meanwhile.

mod app;
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_local::{LocalQueue, PrivatePostgres};
use support::{alternating, client, entry, send, spread, used};
use tokio_postgres::NoTls;

const MESSAGES: usize = 10_000;
const ROWS: i64 = 50_000;
const ROUNDS: usize = 5;

/// The rows of a large inbox, of sixteen days, and how long it keeps a row.
const KEPT: i64 = 5_000_000;
const RETENTION: &str = "15d";
const ROUNDS_OF_KEPT: usize = 3;

/// How often the bench looks whether the work is done.
const LOOK: Duration = Duration::from_millis(5);

/// The process's part: one of the apps, or a raw loop.
const ROLE: &str = "BENCH_ROLE";

const INBOX: [&str; 5] = ["raw", "raw, no inbox", "PgTx", "PgTx, cached", "pool, no inbox"];
const PEERS: [&str; 2] = ["graphile-worker", "pg-boss"];
const OUTBOX: [&str; 2] = ["raw relay", "relay"];

fn main() -> ExitCode {
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime starts");
    let given = |name: &str| std::env::var(name).expect("the bench sets it");
    match std::env::var(ROLE).ok().as_deref() {
        None if std::env::args().any(|word| word == "retention") => {
            runtime().block_on(retain());
            ExitCode::SUCCESS
        }
        None => {
            runtime().block_on(compare());
            ExitCode::SUCCESS
        }
        Some(role) if role.starts_with("raw") => {
            let (url, database) = (given("QUEUE_URL"), given("DATABASE_URL"));
            let endpoint = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            let handlers = given("CONCURRENCY").parse().expect("is a number");
            let client = client(&endpoint);
            runtime().block_on(async {
                match role {
                    "raw relay" => raw::publish(&client, &url, &database).await,
                    role => raw::handle(&client, &url, &database, handlers, role == "raw").await,
                }
            });
            ExitCode::SUCCESS
        }
        Some(role) => app::run(role),
    }
}

/// A process that ends with its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // A raw loop has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Clone, Copy)]
struct Measured {
    rate: f64,
    cpu_ms: f64,
    commits: f64,
}

struct World {
    queues: LocalQueue,
    url: String,
    database: String,
    session: tokio_postgres::Client,
    /// How long the inbox keeps a row; empty is for ever.
    retention: &'static str,
}

impl World {
    async fn create() -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exactly-once");
        let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
        let server = server.expect("does not panic").expect("PostgreSQL starts");
        let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
        tokio::spawn(connection);
        let name = format!("bench_{}", std::process::id());
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");
        let database = server.url(&name);
        // The server lives as long as the bench.
        std::mem::forget(server);
        let (session, connection) = tokio_postgres::connect(&database, NoTls).await.expect("connects");
        tokio::spawn(connection);
        let queues = LocalQueue::start(0).await.expect("a port is free");
        let url = queues.create("work").await.expect("is allowed");
        let world = Self { queues, url, database, session, retention: "" };
        let mut migrate = world.process("relay", 1, "migrate");
        assert!(migrate.0.wait().expect("ends").success(), "the database is upgraded");
        let tables = "CREATE TABLE inbox (queue text NOT NULL, message_id text NOT NULL, handled_at timestamptz NOT NULL DEFAULT now(), \
                      PRIMARY KEY (queue, message_id)); \
                      CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint NOT NULL); \
                      CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key uuid NOT NULL DEFAULT \
                      gen_random_uuid(), queue text NOT NULL, group_id text, body text NOT NULL, traceparent text, parked text, \
                      written_at timestamptz NOT NULL DEFAULT now())";
        world.session.batch_execute(tables).await.expect("are created");
        world
    }

    fn process(&self, role: &str, handlers: usize, command: &str) -> Running {
        let mut process = Command::new(std::env::current_exe().expect("is a file"));
        process.arg(command).env(ROLE, role).env("APP_ENV", "production").env("RUST_LOG", "error");
        process.env("DATABASE_URL", &self.database).env("QUEUE_URL", &self.url);
        process.env("CONCURRENCY", handlers.to_string()).env("HTTP_ADDR", "127.0.0.1:0");
        if !self.retention.is_empty() {
            process.env("INBOX_RETENTION", self.retention);
        }
        process.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench");
        Running(process.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("starts"))
    }

    async fn number(&self, sql: &str) -> i64 {
        self.session.query_one(sql, &[]).await.expect("is read").get(0)
    }

    /// How many messages the queue has that can be received, and in all.
    async fn messages(&self) -> (usize, usize) {
        let names =
            [Attribute::ApproximateNumberOfMessages, Attribute::ApproximateNumberOfMessagesNotVisible];
        let asked = client(self.queues.endpoint()).get_queue_attributes().queue_url(&self.url);
        let all = asked.set_attribute_names(Some(names.to_vec())).send().await.expect("exists");
        let all = all.attributes.unwrap_or_default();
        let [visible, hidden] = names.map(|name| all[&name].parse::<usize>().expect("is a number"));
        (visible, visible + hidden)
    }

    /// Runs a process until `left` is 0, and counts from the moment at which it has become less than `all`.
    async fn measure(
        &self,
        start: impl FnOnce() -> Running,
        all: usize,
        left: impl AsyncFn() -> usize,
    ) -> Measured {
        // The clean-up of one round must not fall into the next one.
        for clean_up in ["VACUUM ANALYZE", "CHECKPOINT"] {
            self.session.batch_execute(clean_up).await.expect("works");
        }
        let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
        let before = self.number(commits).await;
        let process = start();
        while left().await == all {
            tokio::time::sleep(LOOK).await;
        }
        let begun = Instant::now();
        let rest = left().await;
        while left().await > 0 {
            tokio::time::sleep(LOOK).await;
        }
        let took = begun.elapsed().as_secs_f64();
        let (cpu_ms, _) = used(&process.0.id().to_string());
        drop(process);
        // What a session has done is counted with a delay.
        self.session.batch_execute("SELECT pg_stat_force_next_flush()").await.expect("works");
        let commits = (self.number(commits).await - before) as f64;
        Measured {
            rate: rest as f64 / took,
            cpu_ms: cpu_ms * 1000.0 / all as f64,
            commits: commits / all as f64,
        }
    }

    async fn inbox(&self, role: &str, handlers: usize) -> Measured {
        self.session.batch_execute("TRUNCATE inbox").await.expect("works");
        self.handle(role, handlers).await
    }

    /// As [`World::inbox`], with the rows that are there.
    async fn handle(&self, role: &str, handlers: usize) -> Measured {
        self.session.batch_execute("TRUNCATE effects").await.expect("works");
        let client = client(self.queues.endpoint());
        for batch in 0..MESSAGES / 10 {
            send(&client, &self.url, (0..10).map(|index| entry((batch * 10 + index).to_string()))).await;
        }
        let start = || self.process(role, handlers, "serve");
        let measured = self.measure(start, MESSAGES, async || self.messages().await.1).await;
        assert_eq!(self.number("SELECT count(*) FROM effects").await, MESSAGES as i64);
        measured
    }

    async fn outbox(&self, role: &str) -> Measured {
        self.session.batch_execute("TRUNCATE outbox").await.expect("works");
        // A queue of its own for each round, which nobody works.
        let queue = format!("sent-{}", fastrand::u32(..));
        self.queues.create(&queue).await.expect("is allowed");
        let fill = format!(
            "INSERT INTO outbox (queue, body) SELECT '{queue}', n::text FROM generate_series(1, {ROWS}) n"
        );
        self.session.batch_execute(&fill).await.expect("is written");
        let left = async || usize::try_from(self.number("SELECT count(*) FROM outbox").await).unwrap_or(0);
        self.measure(|| self.process(role, 1, "serve"), ROWS as usize, left).await
    }

    /// The same work by a job queue on PostgreSQL.
    async fn peer(&self, name: &str, handlers: usize) -> Measured {
        self.session.batch_execute("TRUNCATE effects RESTART IDENTITY").await.expect("works");
        let node = |command: &str| {
            let mut node = Command::new("node");
            node.arg(peers().join("jobs.mjs")).args([command, name, &self.database]);
            node.args([handlers.to_string(), MESSAGES.to_string()]);
            Running(node.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("node is there"))
        };
        assert!(node("fill").0.wait().expect("ends").success(), "the jobs of {name} are added");
        let left = async || {
            // The last number that a row was given: a count of the rows would cost as much as the work.
            let done = self
                .number("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM effects_id_seq")
                .await;
            MESSAGES.saturating_sub(usize::try_from(done).expect("is a count"))
        };
        self.measure(|| node("work"), MESSAGES, left).await
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

async fn compare() {
    let world = World::create().await;
    let mut out = std::io::stdout();
    let head =
        "client           | handlers | msg/s | of raw: median (range) | CPU ms per 1,000 | commits/msg";
    writeln!(out, "{head}").expect("is open");
    let mut clients = INBOX.to_vec();
    if peers().join("node_modules/pg-boss").exists() {
        clients.extend(PEERS);
    }
    for handlers in [1, 8, 64] {
        let mut all: Vec<Vec<Measured>> = vec![Vec::new(); clients.len()];
        for round in 0..ROUNDS {
            for place in alternating(clients.len(), round) {
                all[place].push(match clients[place] {
                    name if PEERS.contains(&name) => world.peer(name, handlers).await,
                    role => world.inbox(role, handlers).await,
                });
            }
        }
        show(&mut out, &clients, handlers, &all);
    }
    let mut all: Vec<Vec<Measured>> = vec![Vec::new(); OUTBOX.len()];
    for round in 0..ROUNDS {
        for place in alternating(OUTBOX.len(), round) {
            all[place].push(world.outbox(OUTBOX[place]).await);
        }
    }
    show(&mut out, &OUTBOX, 1, &all);
}

/// What the rows of the inbox cost.
async fn retain() {
    const STATES: [&str; 3] = ["an empty inbox", "5 million rows", "and old ones go"];
    let mut world = World::create().await;
    let index = "CREATE INDEX inbox_handled_at ON inbox (handled_at)";
    world.session.batch_execute(index).await.expect("is created");
    let fill = format!(
        "INSERT INTO inbox SELECT 'work', gen_random_uuid()::text, now() - n * interval '16 days' / {KEPT} \
         FROM generate_series(1, {KEPT}) n"
    );
    let mut out = std::io::stdout();
    writeln!(
        out,
        "                 | handlers | msg/s | of empty: median (range) | CPU ms per 1,000 | commits/msg"
    )
    .expect("is open");
    for handlers in [8, 64] {
        let mut all: Vec<Vec<Measured>> = vec![Vec::new(); STATES.len()];
        for _ in 0..ROUNDS_OF_KEPT {
            all[0].push(world.inbox("PgTx, cached", handlers).await);
            world.session.batch_execute(&fill).await.expect("is written");
            all[1].push(world.handle("PgTx, cached", handlers).await);
            world.retention = RETENTION;
            let before = world.number("SELECT count(*) FROM inbox").await;
            all[2].push(world.handle("PgTx, cached", handlers).await);
            let gone = before + MESSAGES as i64 - world.number("SELECT count(*) FROM inbox").await;
            assert!(gone > 0, "the retention has deleted nothing");
            writeln!(out, "{gone} old rows were deleted meanwhile").expect("is open");
            world.retention = "";
        }
        show(&mut out, &STATES, handlers, &all);
    }
}

fn show(out: &mut impl std::io::Write, clients: &[&str], handlers: usize, all: &[Vec<Measured>]) {
    for (name, rounds) in clients.iter().zip(all) {
        let ratios = rounds.iter().zip(&all[0]).map(|(own, raw)| own.rate / raw.rate);
        let [lowest, ratio, highest] = spread(ratios);
        let [_, rate, _] = spread(rounds.iter().map(|measured| measured.rate));
        let [_, cpu, _] = spread(rounds.iter().map(|measured| measured.cpu_ms));
        let [_, commits, _] = spread(rounds.iter().map(|measured| measured.commits));
        let spread = format!("{ratio:.2} ({lowest:.2} to {highest:.2})");
        writeln!(out, "{name:17}| {handlers:8} | {rate:5.0} | {spread:22} | {cpu:16.1} | {commits:.2}")
            .expect("is open");
    }
}
