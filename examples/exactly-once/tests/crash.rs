//! Workers are killed while they work, and started again: no order and no invoice is lost or made twice.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use onward_local::{LocalQueue, PrivatePostgres};
use tokio_postgres::NoTls;

const ORDERS: i64 = 2_000;
const WORKERS: usize = 3;
const KILLS: usize = 12;

/// Far longer than it takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(120);

struct World {
    database: String,
    queues: LocalQueue,
    orders: String,
    invoices: String,
}

impl World {
    fn app(&self, command: &str) -> Command {
        let mut app = Command::new(env!("CARGO_BIN_EXE_app-exactly-once"));
        app.arg(command).env("APP_ENV", "production").env("HTTP_ADDR", "127.0.0.1:0").env("RUST_LOG", "warn");
        app.env("DATABASE_URL", &self.database).env("QUEUE_URL", &self.orders);
        app.env("QUEUE_URL_INVOICES", &self.invoices);
        app.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        app.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        app
    }

    fn start(&self) -> Child {
        self.app("serve").spawn().expect("the app starts")
    }

    async fn send_orders(&self) {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.queues.endpoint())
            .build();
        let client = Client::from_conf(config);
        let numbers: Vec<_> = (0..ORDERS).collect();
        for batch in numbers.chunks(10) {
            let entries = batch.iter().map(|number| {
                let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
                entry.message_body(format!("{{\"number\": {number}}}")).build().expect("is whole")
            });
            let send =
                client.send_message_batch().queue_url(&self.orders).set_entries(Some(entries.collect()));
            assert!(send.send().await.expect("is sent").failed().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_and_every_invoice_is_made_exactly_once() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let name = format!("crash_{}", now.as_nanos());
    let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");

    let queues = LocalQueue::start(0).await.expect("a port is free");
    let orders = queues.create("orders").await.expect("is allowed");
    let invoices = queues.create("invoices").await.expect("is allowed");
    let world = World { database: server.url(&name), queues, orders, invoices };
    assert!(world.app("migrate").status().expect("starts").success());
    let (client, connection) = tokio_postgres::connect(&world.database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    world.send_orders().await;

    let count = async |sql: &str| -> i64 { client.query_one(sql, &[]).await.expect("is read").get(0) };
    let mut workers: Vec<Child> = (0..WORKERS).map(|_| world.start()).collect();
    let begun = Instant::now();
    let mut killed = 0;
    loop {
        let done = count("SELECT count(*) FROM invoices").await;
        let taken = count("SELECT count(*) FROM orders").await;
        if done >= ORDERS && killed == KILLS {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{taken} orders, {done} invoices, {killed} killed");
        // Each worker is killed in the middle of its work: as soon as the work has moved on since the last kill.
        let moved_on = taken + done >= i64::try_from(killed).expect("is small") * ORDERS / 8;
        if killed < KILLS && moved_on {
            let victim = fastrand::usize(..WORKERS);
            workers[victim].kill().expect("it runs");
            workers[victim].wait().expect("it ends");
            workers[victim] = world.start();
            killed += 1;
        }
    }
    for table in ["orders", "invoices"] {
        let column = if table == "orders" { "number" } else { "order_number" };
        let twice = count(&format!("SELECT count(*) - count(DISTINCT {column}) FROM {table}")).await;
        assert_eq!((count(&format!("SELECT count(*) FROM {table}")).await, twice), (ORDERS, 0), "{table}");
    }
    for mut worker in workers {
        worker.kill().expect("it runs");
        worker.wait().expect("it ends");
    }
}
