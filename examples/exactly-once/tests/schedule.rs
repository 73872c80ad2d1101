//! Periodic jobs: a due time runs on one node of all, is made up for after an outage, and is taken over from a node that died.

#[expect(dead_code, reason = "another test uses the rest")]
mod world;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use tokio_postgres::NoTls;
use world::{DEADLINE, Worker, World};

/// A node of the app, with its log.
struct Node {
    worker: Worker,
    lines: Receiver<String>,
}

impl Node {
    fn start(world: &World) -> Self {
        let mut child =
            world.app("serve").env("RUST_LOG", "info").stderr(Stdio::piped()).spawn().expect("starts");
        let (sender, lines) = channel();
        let log = BufReader::new(child.stderr.take().expect("is piped"));
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { worker: Worker(child), lines }
    }

    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
            if line.contains(text) {
                return;
            }
        }
        panic!("no `{text}` in time");
    }
}

/// The row of the job: attempts, outcome, and whether it has ended.
async fn row(client: &tokio_postgres::Client) -> (i64, Option<String>, bool) {
    let select = "SELECT attempts, outcome, ended_at IS NOT NULL FROM schedule WHERE job = 'forget-orders'";
    let row = client.query_one(select, &[]).await.expect("is read");
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_runs_once_and_is_taken_over_from_a_node_that_died() {
    let world = World::create("schedule").await;
    let (client, connection) = tokio_postgres::connect(&world.database, NoTls).await.expect("connects");
    tokio::spawn(connection);

    let first = Node::start(&world);
    first.wait_for("periodic job");
    first.wait_for("serving");
    let (attempts, outcome, has_ended) = row(&client).await;
    assert_eq!(
        (attempts, has_ended),
        (0, true),
        "a new job does not run for a due time that is over: {outcome:?}"
    );

    // As if no node had run for two days.
    client.batch_execute("UPDATE schedule SET due = due - interval '2 days'").await.expect("is written");
    let second = Node::start(&world);
    world.until("schedule WHERE outcome = 'done' AND attempts = 1", 1).await;
    second.wait_for("periodic job");
    let due = "schedule WHERE due > now() - interval '25 hours'";
    assert_eq!(world.count(due).await, 1, "only the last due time is made up for");

    // The job of the node that claims it hangs, and the node dies.
    client.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.expect("is locked");
    let (other, connection) = tokio_postgres::connect(&world.database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    other
        .batch_execute("UPDATE schedule SET due = due - interval '2 days', outcome = NULL")
        .await
        .expect("is written");
    world.until("schedule WHERE ended_at IS NULL", 1).await;
    let node: String = other.query_one("SELECT node FROM schedule", &[]).await.expect("is read").get(0);
    let pid: u32 =
        node.rsplit(':').nth(1).and_then(|pid| pid.parse().ok()).expect("the node has its process");
    let (mut dead, alive) = if first.worker.0.id() == pid { (first, second) } else { (second, first) };
    dead.worker.0.kill().expect("is killed");
    dead.worker.0.wait().expect("has ended");
    assert_eq!(row(&other).await, (1, None, false), "nobody takes it over before its lease ends");
    other.batch_execute("UPDATE schedule SET lease_until = now()").await.expect("is written");
    world.until("schedule WHERE attempts = 2", 1).await;
    client.batch_execute("COMMIT").await.expect("is unlocked");
    alive.wait_for("job done");
    world.until("schedule WHERE outcome = 'done' AND attempts = 2", 1).await;

    // A failure is tried again, and says why.
    client
        .batch_execute("ALTER TABLE orders RENAME TO away; UPDATE schedule SET due = due - interval '2 days'")
        .await
        .expect("is written");
    world.until("schedule WHERE outcome LIKE '%42P01%' AND ended_at IS NULL", 1).await;
    client
        .batch_execute("ALTER TABLE away RENAME TO orders; UPDATE schedule SET lease_until = now()")
        .await
        .expect("is written");
    world.until("schedule WHERE outcome = 'done' AND attempts = 2", 1).await;

    // A node whose clock was a year ahead has run it: the others do not wait for a year.
    client.batch_execute("UPDATE schedule SET due = due + interval '1 year'").await.expect("is written");
    world.until("schedule WHERE outcome = 'done' AND attempts = 1 AND due < now()", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_table_the_app_does_not_start() {
    let world = World::create("no_schedule").await;
    let (client, connection) = tokio_postgres::connect(&world.database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client.batch_execute("DROP TABLE schedule").await.expect("is dropped");
    let output = world.app("serve").stderr(Stdio::piped()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("`schedule`") && said.contains("help:"), "{said}");
}
