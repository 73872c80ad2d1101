//! A stop that comes while something is waited for.

use std::net::TcpListener;

use crate::support::{Database, Queue, Running, arguments, in_production, production};

#[test]
fn a_migration_that_is_stopped_leaves_nothing_on_the_server() {
    let (database, queue) = (Database::create(), Queue::create());
    // Another session makes the table of the baseline and does not commit, so the migration waits for the outcome.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let _other = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.batch_execute("BEGIN; CREATE TABLE destinations (id int)").await.expect("works");
        client
    });
    for signal in ["-TERM", "-INT"] {
        let mut migrating =
            Running::start(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
        migrating.wait_for("Baseline.sql");
        migrating.signal(signal);
        let (status, said) = migrating.end();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(said.contains("Baseline.sql was rolled back as a whole"), "{said}");
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'app migrate%' \
                    AND state = 'active' AND datname = current_database()";
        assert_eq!(database.query(left), "0", "{said}");
    }
}

/// Another session may hold a lock on the journal for as long as it likes.
#[test]
fn a_migration_that_waits_for_the_journal_hears_the_stop() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let _other = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client
            .batch_execute("BEGIN; LOCK TABLE schema_journal IN ACCESS EXCLUSIVE MODE")
            .await
            .expect("works");
        client
    });
    let migrating = Running::start(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'app migrate%' AND wait_event_type = 'Lock' \
                 AND datname = current_database()";
    while database.query(waits) != "1" {}
    migrating.signal("-TERM");
    let (status, said) = migrating.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("stopped before the first script"), "{said}");
}

/// A proxy without a server behind it accepts connections and says nothing.
#[test]
fn a_request_to_stop_ends_a_start_that_waits_for_the_database() {
    let queue = Queue::create();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("postgres://nobody:x@{}/app", silent.local_addr().expect("is bound"));
    for (command, code) in [("serve", 0), ("migrate", 130)] {
        let starting = Running::start(&mut arguments(production(&url, &queue.url), [command]));
        let (_connected, _) = silent.accept().expect("the app connects");
        starting.signal("-TERM");
        let (status, said) = starting.end();
        assert_eq!(status.code(), Some(code), "{command}: {said}");
    }
}
