//! The outbox in bad weather: rows that cannot be sent stop no other, and a stop is heard in spite of a backlog.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::{LocalQueue, PrivatePostgres};
use tokio_postgres::{Client, NoTls};

/// Much longer than anything takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(60);

struct World {
    client: Client,
    database: String,
    orders: String,
    invoices: String,
    _queues: LocalQueue,
    _server: PrivatePostgres,
}

/// A worker that ends with the test, also when the test fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // The kill of a worker that has already ended fails, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    async fn create(name: &str) -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
        let server = server.expect("does not panic").expect("PostgreSQL starts");
        let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
        tokio::spawn(connection);
        let name = format!("{name}_{}", std::process::id());
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("is dropped");
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");
        let database = server.url(&name);
        let (client, connection) = tokio_postgres::connect(&database, NoTls).await.expect("connects");
        tokio::spawn(connection);
        let queues = LocalQueue::start(0).await.expect("a port is free");
        let orders = queues.create("orders").await.expect("is allowed");
        let invoices = queues.create("invoices").await.expect("is allowed");
        queues.create("ledger.fifo").await.expect("is allowed");
        let world = Self { client, database, orders, invoices, _queues: queues, _server: server };
        assert!(world.app("migrate").status().expect("starts").success());
        world
    }

    fn app(&self, command: &str) -> Command {
        let mut app = Command::new(env!("CARGO_BIN_EXE_app-exactly-once"));
        app.arg(command)
            .env("APP_ENV", "production")
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("RUST_LOG", "error");
        app.env("DATABASE_URL", &self.database).env("QUEUE_URL", &self.orders);
        app.env("QUEUE_URL_INVOICES", &self.invoices);
        app.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        app.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        app
    }

    async fn insert(&self, rows: &str) {
        self.client
            .batch_execute(&format!("INSERT INTO outbox (queue, group_id, body) {rows}"))
            .await
            .expect("is written");
    }

    async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).await.expect("is read").get(0)
    }

    async fn until(&self, sql: &str, expected: i64) {
        let begun = Instant::now();
        while self.count(sql).await != expected {
            assert!(begun.elapsed() < DEADLINE, "{sql} is {}, not {expected}", self.count(sql).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_sent_stop_no_other() {
    let world = World::create("stuck").await;
    world.insert("SELECT 'nowhere', NULL, '1' FROM generate_series(1, 300)").await;
    world.insert("VALUES ('ledger.fifo', NULL, '\"no group\"'), ('ledger.fifo', 'a', '\"first\"')").await;
    world
        .insert("SELECT 'invoices', NULL, format('{\"number\": %s}', n) FROM generate_series(1, 20) n")
        .await;
    let _worker = Worker(world.app("serve").spawn().expect("starts"));
    world.until("invoices", 20).await;
    world.until("outbox WHERE queue = 'ledger.fifo' AND parked IS NULL", 0).await;
    assert_eq!(world.count("outbox WHERE parked LIKE '%MessageGroupId%'").await, 1, "with its reason");
    assert_eq!(
        world.count("outbox WHERE queue = 'nowhere' AND parked IS NULL").await,
        300,
        "they wait for their queue"
    );
    let doctor = world.app("doctor").stdout(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains("1 row(s) are parked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_heard_in_spite_of_a_backlog() {
    let world = World::create("backlog").await;
    world.insert("SELECT 'invoices', NULL, repeat('x', 2000) FROM generate_series(1, 60000)").await;
    let mut worker = Worker(world.app("serve").spawn().expect("starts"));
    let begun = Instant::now();
    while world.count("outbox").await == 60_000 {
        assert!(begun.elapsed() < DEADLINE, "it publishes");
    }
    let pid = worker.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let told = Instant::now();
    worker.0.wait().expect("ends");
    assert!(told.elapsed() < Duration::from_secs(45), "{:?}", told.elapsed());
}
