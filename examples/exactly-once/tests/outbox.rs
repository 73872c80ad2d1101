//! The outbox in bad weather: rows that cannot be sent stop no other, and a stop is heard in spite of a backlog.

#[expect(dead_code, reason = "another test uses the rest")]
mod world;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::{DEADLINE, Worker, World};

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
