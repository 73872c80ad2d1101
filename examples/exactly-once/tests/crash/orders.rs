//! The test kills workers while they work and starts them again, and some calls to the queue fail. No order and no invoice
//! is lost or made twice.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use onward_local::LocalQueue;

use crate::proxy::{Proxy, Weather};

const WORKERS: usize = 3;

/// How many of a hundred queue calls of the workers fail; `proxy.rs` lists the ways.
const FAULTS: Weather = Weather { percent: 3, ..Weather::CLEAR };

/// Much longer than the test takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(600);

struct World {
    app: &'static str,
    database: String,
    queues: LocalQueue,
    orders: String,
    invoices: String,
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
    fn app(&self, command: &str) -> Command {
        let mut app = Command::new(self.app);
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

    fn start(&self) -> Worker {
        Worker(self.app("serve").spawn().expect("the app starts"))
    }

    fn client(&self) -> Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.queues.endpoint())
            .build();
        Client::from_conf(config)
    }

    /// What each queue and its dead-letter queue still have: messages that can be received, in flight, and delayed.
    async fn left(&self) -> String {
        let client = self.client();
        let mut left = Vec::new();
        for url in [&self.orders, &self.invoices] {
            for url in [url.clone(), format!("{url}-dead")] {
                let name = url.rsplit('/').next().unwrap_or_default().to_owned();
                let all =
                    client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
                let attributes = all.send().await.expect("exists").attributes.expect("were asked for");
                let number = |name| &attributes[&name];
                let visible = number(QueueAttributeName::ApproximateNumberOfMessages);
                let hidden = number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
                let delayed = number(QueueAttributeName::ApproximateNumberOfMessagesDelayed);
                left.push(format!("{name}: {visible} visible, {hidden} in flight, {delayed} delayed"));
            }
        }
        left.join("; ")
    }

    async fn send_orders(&self, orders: i64) {
        let client = self.client();
        let numbers: Vec<_> = (0..orders).collect();
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

/// Sends orders, kills workers at random, and counts. `count` runs a query for one number in `database`.
pub(crate) async fn every_order_and_every_invoice_is_made_exactly_once(
    app: &'static str,
    database: String,
    (orders, kills): (i64, usize),
    mut count: impl AsyncFnMut(&str) -> i64,
) {
    let queues = LocalQueue::start(0).await.expect("a port is free");
    let urls = [queues.create("orders").await, queues.create("invoices").await];
    let [order_url, invoice_url] = urls.map(|url| url.expect("is allowed"));
    let proxy = Proxy::start(queues.endpoint(), FAULTS, 11).await;
    let through = |url: String| url.replace(queues.endpoint(), &proxy.endpoint);
    let (orders_url, invoices_url) = (through(order_url), through(invoice_url));
    let world = World { app, database, queues, orders: orders_url, invoices: invoices_url };
    assert!(world.app("migrate").status().expect("starts").success());
    world.send_orders(orders).await;

    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| world.start()).collect();
    let begun = Instant::now();
    let mut killed = 0;
    loop {
        let done = count("SELECT count(*) FROM invoices").await;
        let taken = count("SELECT count(*) FROM orders").await;
        if done >= orders && killed == kills {
            break;
        }
        if begun.elapsed() > DEADLINE {
            panic!("{taken} orders, {done} invoices, {killed} killed; {}", world.left().await);
        }
        // A worker whose first polls fail takes its configuration for wrong and ends. A service manager starts it again.
        for worker in &mut workers {
            if worker.0.try_wait().expect("can be asked").is_some() {
                *worker = world.start();
            }
        }
        // The kill comes in the middle of the work: as soon as the work has moved on since the last kill.
        let share = 2 * orders / i64::try_from(kills + 1).expect("is small");
        let moved_on = taken + done >= i64::try_from(killed).expect("is small") * share;
        if killed < kills && moved_on {
            let victim = fastrand::usize(..WORKERS);
            workers[victim].0.kill().expect("it runs");
            workers[victim] = world.start();
            killed += 1;
        }
    }
    assert!(proxy.faults() > 20, "{} faults", proxy.faults());
    for (table, column) in [("orders", "number"), ("invoices", "order_number")] {
        let all = count(&format!("SELECT count(*) FROM {table}")).await;
        let different = count(&format!("SELECT count(DISTINCT {column}) FROM {table}")).await;
        assert_eq!((all, different), (orders, orders), "{table}");
    }
}
