//! Several migrators, and the end of one.

use std::time::Duration;

use onward_migrate::{Engine as _, ErrorKind, Event, MigrateOptions, Migrated, SchemaState, migrate};

use crate::world::{BASELINE, World, failure, options};

pub(crate) async fn a_migration_that_is_stopped_releases_the_lock(world: World) {
    let baseline = "CREATE TABLE orders (id int PRIMARY KEY, note varchar(9));";
    world.migrate(&world.history(&[baseline])).await.expect("works");
    let begin = world.either("BEGIN; ", "BEGIN TRANSACTION; ");
    let _holder = world.hold(&format!("{begin} INSERT INTO orders VALUES (1, 'theirs')")).await;
    // It waits for the outcome of the other session's row, which never comes.
    let all = world.history(&[baseline, "INSERT INTO orders VALUES (2, 'ours'), (1, 'ours');"]);
    let options = options();
    let mut progress = |event| {
        if matches!(event, Event::Started { .. }) {
            options.stop.cancel();
        }
    };
    let outcome = migrate(&mut world.connect().await, &all, &options, &mut progress).await;
    let error = outcome.expect_err("was stopped");
    assert!(error.to_string().contains("Script-0001.sql"), "{error}");
    let mut next = world.connect().await;
    assert_eq!(next.try_lock().await.expect("works"), Ok(()), "the lock is free");
    drop(next);
    let status = world.status(&all).await;
    assert_eq!((status.applied, status.pending), (Some(0), vec![1]));
}

pub(crate) async fn twenty_migrators_apply_each_script_once(world: World) {
    let scripts: Vec<_> =
        (1..10).map(|number| format!("INSERT INTO orders (id) VALUES ({number});")).collect();
    let texts: Vec<_> = std::iter::once(BASELINE).chain(scripts.iter().map(String::as_str)).collect();
    let all = world.history(&texts);
    let runs = (0..20).map(|_| {
        let (url, all) = (world.url.clone(), all.clone());
        tokio::spawn(async move {
            let mut engine =
                onward_migrate::Session::connect(&url, &Default::default()).await.expect("connects");
            migrate(&mut engine, &all, &options(), &mut |_| {}).await.expect("works")
        })
    });
    let mut applied = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        applied.push(run.await.expect("does not panic").scripts);
    }
    applied.sort_unstable();
    assert_eq!(applied.split_last(), Some((&10, &[0; 19][..])));
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "9");
}

pub(crate) async fn a_busy_lock_is_waited_for(world: World) {
    let mut holder = world.connect_as("the other one").await;
    assert_eq!(holder.try_lock().await.expect("works"), Ok(()));
    let all = world.history(&[BASELINE]);
    let impatient = MigrateOptions { wait: Duration::ZERO, ..options() };
    let error = world.migrate_with(&all, &impatient).await.expect_err("is locked");
    assert!(matches!(error.kind, ErrorKind::Locked), "{error}");
    assert!(error.message.contains("another migrator has held the lock"), "{error}");

    // The holder's connection ends as soon as somebody waits, as if it had been killed.
    let mut holder = Some(holder);
    let mut engine = world.connect().await;
    let mut waited = false;
    let mut progress = |event| {
        if matches!(event, Event::Waiting { .. }) {
            (waited, holder) = (true, None);
        }
    };
    migrate(&mut engine, &all, &options(), &mut progress).await.expect("gets the lock");
    assert!(waited);
}

pub(crate) async fn a_migrator_that_dies_leaves_a_script_boundary(world: World) {
    let slow = world.either("SELECT pg_sleep(600);", "WAITFOR DELAY '00:10:00';");
    let half = format!("INSERT INTO orders (id) VALUES (2);\n{slow}");
    let all = world.history(&[BASELINE, "INSERT INTO orders (id) VALUES (1);", &half]);
    let mut engine = world.connect().await;
    let (sender, started) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let mut progress = move |event| {
        if matches!(&event, Event::Started { file, .. } if file == "Script-0002.sql") {
            sender.take().expect("starts once").send(()).expect("somebody waits");
        }
    };
    let given = options();
    tokio::select! {
        ended = migrate(&mut engine, &all, &given, &mut progress) => panic!("ended by itself: {ended:?}"),
        started = started => started.expect("is sent"),
    }
    drop(engine);
    let corrected = world.history(&[
        BASELINE,
        "INSERT INTO orders (id) VALUES (1);",
        "INSERT INTO orders (id) VALUES (2);",
    ]);
    // The server notices at the latest when it answers that the client is gone; the test does not wait that long.
    let end_sleepers = world.either(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE \
         '%pg_sleep(600)%' AND pid <> pg_backend_pid()",
        "SELECT 1",
    );
    world.query(end_sleepers).await;
    assert_eq!(
        world.migrate(&corrected).await.expect("goes on"),
        Migrated { from: Some(1), to: 2, scripts: 1 }
    );
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "2");
}

/// Names the database for a process that the test starts and kills.
pub(crate) const MIGRATOR: &str = "ONWARD_TEST_MIGRATOR";

const MANY: usize = 150;

/// Each script adds one row, so that a comparison of the rows with the journal finds a difference.
fn many() -> Vec<String> {
    let scripts = (1..=MANY).map(|number| format!("INSERT INTO orders (id) VALUES ({number});"));
    std::iter::once(BASELINE.to_owned()).chain(scripts).collect()
}

/// What the started process does.
pub(crate) fn be_a_migrator(address: &str) -> std::process::ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        let texts = many();
        let url: onward_migrate::DatabaseUrl = address.parse().expect("is an address");
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let all = crate::world::history(url.dialect(), 0, &texts, &[]);
        let mut engine = onward_migrate::Session::connect(&url, &Default::default()).await.expect("connects");
        migrate(&mut engine, &all, &options(), &mut |_| {}).await.expect("works");
    });
    std::process::ExitCode::SUCCESS
}

pub(crate) async fn kill_at_any_moment_leaves_a_script_boundary(world: World) {
    let texts = many();
    let all = world.history(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let start = || {
        let mut command = std::process::Command::new(std::env::current_exe().expect("is known"));
        command.env(MIGRATOR, world.address()).spawn().expect("starts")
    };
    let mut kills = 0;
    let mut applied = -1;
    while kills < 12 {
        let mut migrator = start();
        // Until it has gone further than the one before, or has ended.
        while world.status(&all).await.applied.unwrap_or(-1) <= applied
            && migrator.try_wait().expect("can be asked").is_none()
        {}
        migrator.kill().expect("can be killed");
        migrator.wait().expect("ends");
        kills += 1;
        let status = world.status(&all).await;
        assert!(
            matches!(status.state, SchemaState::Empty | SchemaState::Behind | SchemaState::Current),
            "{status:?}"
        );
        applied = status.applied.unwrap_or(-1);
        if applied >= 0 {
            // The server may still end the transaction of the killed process, so one statement reads both.
            let both = "SELECT CASE WHEN (SELECT count(*) FROM orders) = (SELECT max(version) FROM schema_journal) THEN 1 \
                        ELSE 0 END";
            assert_eq!(world.query(both).await, "1", "at {applied}");
        }
        if status.state == SchemaState::Current {
            break;
        }
    }
    world.migrate(&all).await.expect("the next run goes on");
    assert_eq!(world.status(&all).await.state, SchemaState::Current);
    assert_eq!(world.query("SELECT count(*) FROM orders").await, MANY.to_string());
}

pub(crate) async fn a_lock_is_not_waited_for_longer(world: World) {
    let all = world.history(&[BASELINE]);
    world.migrate(&all).await.expect("works");
    let hold = world.either(
        "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        "BEGIN TRANSACTION; SELECT count(*) FROM orders WITH (TABLOCKX, HOLDLOCK)",
    );
    let _held = world.hold(hold).await;
    let options_with_limit = onward_migrate::SessionOptions {
        application_name: "impatient".to_owned(),
        lock_timeout: Some(Duration::from_millis(200)),
        ..Default::default()
    };
    let mut engine =
        onward_migrate::Session::connect(&world.url, &options_with_limit).await.expect("connects");
    let more = world.history(&[BASELINE, "-- onward: contract\nALTER TABLE orders ADD size int NULL;"]);
    let outcome = migrate(&mut engine, &more, &options(), &mut |_| {}).await;
    let error = outcome.expect_err("has waited long enough");
    assert_eq!(failure(&error).server.code, world.either("55P03", "1222"));
    assert_eq!(failure(&error).outcome, "Script-0001.sql was rolled back as a whole");
}
