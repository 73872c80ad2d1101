//! The outbox in bad weather: rows that cannot be sent stop no other, and a stop is heard in spite of a backlog.

#[path = "../../../tests/queues/proxy.rs"]
mod proxy;
mod world;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proxy::{Proxy, Weather};
use world::{DEADLINE, Worker, World};

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_sent_stop_no_other() {
    let world = World::create("stuck").await;
    world.insert("SELECT 'nowhere', NULL, '1' FROM generate_series(1, 300)").await;
    world.insert("VALUES ('ledger.fifo', NULL, '\"no group\"'), ('ledger.fifo', 'a', '\"first\"')").await;
    world
        .insert("SELECT 'invoices', NULL, format('{\"number\": %s}', n) FROM generate_series(1, 20) n")
        .await;
    let http = free_address();
    let _worker = Worker(world.app("serve").env("HTTP_ADDR", http.to_string()).spawn().expect("starts"));
    world.until("invoices", 20).await;
    world.until("outbox WHERE queue = 'ledger.fifo' AND parked IS NULL", 0).await;
    assert_eq!(world.count("outbox WHERE parked LIKE '%MessageGroupId%'").await, 1, "with its reason");
    assert_eq!(
        world.count("outbox WHERE queue = 'nowhere' AND parked IS NULL").await,
        300,
        "they wait for their queue"
    );
    let metrics = get(http);
    for expected in [
        "onward_outbox_up 1",
        "onward_outbox_rows{state=\"waiting\"} 300",
        "onward_outbox_rows{state=\"parked\"} 1",
        "onward_messages_total{queue=\"invoices\",outcome=\"done\"} 20",
    ] {
        assert!(metrics.lines().any(|line| line == expected), "{expected}: {metrics}");
    }
    documented_and_watched(&metrics);
    let oldest = metrics.lines().find_map(|line| line.strip_prefix("onward_outbox_oldest_seconds "));
    let oldest: f64 = oldest.expect("is there").parse().expect("is a number");
    assert!(oldest > 0.0 && oldest < 60.0, "{oldest}");
    let doctor = world.app("doctor").stdout(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(said.contains("1 row(s) are parked"), "{said}");
    for queue in ["orders", "invoices"] {
        assert!(said.contains(&format!("{queue}: a message is dead after 5 receives")), "{said}");
    }
    let missing = world.invoices.replace("invoices", "nowhere");
    let doctor =
        world.app("doctor").env("QUEUE_URL_INVOICES", missing).stdout(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("invoices: there is no such queue"), "{said}");
    let unset =
        world.app("doctor").env_remove("QUEUE_URL_INVOICES").stdout(Stdio::piped()).output().expect("runs");
    assert!(String::from_utf8_lossy(&unset.stdout).contains("QUEUE_URL_INVOICES is not set"), "{unset:?}");
}

/// The queue that does not answer would hold up the others for the time of its call at each try, and have their rows sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_answer_holds_up_no_other() {
    let mut world = World::create("silent").await;
    world.queues.create("audit").await.expect("is allowed");
    let silence = Weather { silent: Some("/audit"), ..Weather::CLEAR };
    let proxy = Proxy::start(world.queues.endpoint(), silence, 1).await;
    for url in [&mut world.orders, &mut world.invoices] {
        *url = url.replace(world.queues.endpoint(), &proxy.endpoint);
    }
    let http = free_address();
    let _worker = Worker(world.app("serve").env("HTTP_ADDR", http.to_string()).spawn().expect("starts"));
    let mut sent = 0;
    // Each round meets the queue in another state: not tried yet, on its way, waiting, tried again.
    while proxy.faults() < 4 {
        world.insert("SELECT 'audit', NULL, n::text FROM generate_series(1, 20) n").await;
        world
            .insert("SELECT 'invoices', NULL, format('{\"number\": %s}', n) FROM generate_series(1, 30) n")
            .await;
        sent += 30;
        world.until("outbox WHERE queue = 'invoices'", 0).await;
        world.until("invoices", sent).await;
    }
    let metrics = get(http);
    let received = format!("onward_messages_total{{queue=\"invoices\",outcome=\"received\"}} {sent}");
    assert!(metrics.lines().any(|line| line == received), "none is sent twice: {received}: {metrics}");
    assert_eq!(world.count("outbox WHERE queue <> 'audit'").await, 0);
}

/// The pause of its group is over long before the turn is.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_overtakes_one_that_was_refused() {
    let mut world = World::create("refused").await;
    let weather = Weather { refuses: Some("g 1"), late: Duration::from_millis(50), ..Weather::CLEAR };
    let proxy = Proxy::start(world.queues.endpoint(), weather, 1).await;
    let direct = world.orders.clone();
    for url in [&mut world.orders, &mut world.invoices] {
        *url = url.replace(world.queues.endpoint(), &proxy.endpoint);
    }
    world
        .insert(
            "SELECT 'ledger.fifo', g, format('\"%s %s\"', g, n) \
             FROM generate_series(1, 60) n, (VALUES ('g'), ('h')) groups (g) ORDER BY n",
        )
        .await;
    let worker = Worker(world.app("serve").spawn().expect("starts"));
    world.until("outbox", 0).await;
    drop(worker);
    assert!(proxy.faults() > 0);
    world.orders = direct;
    let mut peek = world.app("queue");
    let peeked = peek
        .args(["--queue", "ledger.fifo", "peek", "--max", "20", "--json"])
        .stdout(Stdio::piped())
        .output();
    let peeked: serde_json::Value = serde_json::from_slice(&peeked.expect("runs").stdout).expect("is JSON");
    let messages = peeked["messages"].as_array().expect("is a list");
    let of_group: Vec<_> = messages.iter().filter(|message| message["group"] == "g").collect();
    let expected: Vec<_> = (1..=10).map(|number| format!("\"g {number}\"")).collect();
    assert!(of_group.iter().map(|message| &message["body"]).eq(&expected), "{peeked}");
}

/// Old rows go in transactions of 1,000, by one of several processes at a time, and young ones stay.
#[tokio::test(flavor = "multi_thread")]
async fn old_rows_of_the_inbox_are_deleted() {
    let world = World::create("retention").await;
    world.run("INSERT INTO inbox SELECT 'orders', n::text, now() - n * interval '1 hour' FROM generate_series(1, 3000) n").await;
    let _workers: Vec<_> = (0..2).map(|_| Worker(world.app("serve").spawn().expect("starts"))).collect();
    // 43 days are 1,032 hours; the row of that age is too old, too.
    world.until("inbox", 1031).await;
    assert_eq!(world.count("inbox WHERE handled_at < now() - interval '43 days'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retention_of_the_inbox_needs_its_index() {
    let world = World::create("retention_index").await;
    world.run("DROP INDEX inbox_handled_at").await;
    let output = world.app("serve").stderr(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("`inbox` has no index") && said.contains("CREATE INDEX inbox_handled_at"),
        "{said}"
    );
    let doctor = |days: &str| {
        let mut doctor = world.app("doctor");
        doctor.env("INBOX_RETENTION", days).env("DATABASE_CONNECTIONS", "5").env("STATEMENT_TIMEOUT", "3s");
        String::from_utf8_lossy(&doctor.stdout(Stdio::piped()).output().expect("runs").stdout).into_owned()
    };
    let said = doctor("2d");
    let inbox = "orders: the inbox keeps a row for 2 days, but a message may come after 12";
    for expected in [inbox, "raise `inbox-retention` to 13d", "32 handlers share 5 connections"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(said.contains("statement-timeout 3s (from STATEMENT_TIMEOUT)"), "{said}");
    assert!(
        doctor("13d")
            .contains("orders: the inbox keeps a row for 13 days, a message lives for 12 at the most")
    );
}

/// An address that nobody listens on.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("is bound")
}

/// Every metric that is emitted is documented, and every one that the dashboard and the alerts name is emitted.
fn documented_and_watched(metrics: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("is there");
    let names = |text: &str| -> BTreeSet<String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("onward_"));
        words.map(str::to_owned).collect()
    };
    let samples: BTreeSet<_> =
        metrics.lines().filter(|line| line.starts_with("onward_")).flat_map(names).collect();
    let is_of_histogram = |name: &str| ["_sum", "_count"].iter().any(|end| name.ends_with(end));
    let documented = names(&read("docs/metrics.md"));
    for name in samples.iter().filter(|name| !is_of_histogram(name)) {
        assert!(documented.contains(name), "docs/metrics.md does not have {name}");
    }
    for file in ["deploy/grafana.json", "deploy/alerts.yaml"] {
        let named = names(&read(file));
        assert!(named.len() > 6, "{file}: {named:?}");
        for name in named {
            assert!(samples.contains(&name), "{file} names {name}, which no worker emits");
        }
    }
}

/// The metrics of a worker.
fn get(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).expect("is served");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is text");
    answer
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
