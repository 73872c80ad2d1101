//! A database and queues for the app, whose processes end with the test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::{LocalQueue, PrivatePostgres};
use tokio_postgres::{Client, NoTls};

/// Much longer than anything takes: a test that reaches it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    client: Client,
    /// The address that the app gets.
    pub database: String,
    pub orders: String,
    pub invoices: String,
    pub queues: LocalQueue,
    _server: PrivatePostgres,
}

/// A worker that ends with the test, also when the test fails.
pub(crate) struct Worker(pub Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // The kill of a worker that has already ended fails, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    pub(crate) async fn create(name: &str) -> Self {
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
        let world = Self { client, database, orders, invoices, queues, _server: server };
        assert!(world.app("migrate").status().expect("starts").success());
        world
    }

    pub(crate) fn app(&self, command: &str) -> Command {
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

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect("is written");
    }

    pub(crate) async fn insert(&self, rows: &str) {
        self.run(&format!("INSERT INTO outbox (queue, group_id, body) {rows}")).await;
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).await.expect("is read").get(0)
    }

    pub(crate) async fn until(&self, sql: &str, expected: i64) {
        let begun = Instant::now();
        while self.count(sql).await != expected {
            assert!(begun.elapsed() < DEADLINE, "{sql} is {}, not {expected}", self.count(sql).await);
        }
    }
}
