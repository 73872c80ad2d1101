use std::future::Future;
use std::time::Duration;

use libtest_mimic::Trial;
use onward_migrate::{
    AdoptOptions, Applier, Engine as _, Error, ErrorKind, Event, MigrateOptions, Migrated, SchemaState,
    ScriptFailure, TransactionEnd, Verification, adopt, migrate, status,
};

use crate::world::{Kind, World, options};

const BASELINE: &str = "CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, note varchar(50) NULL);";

/// Every case for one kind of database; the cases of SQL Server alone come last.
pub(crate) fn all(kind: Kind) -> Vec<Trial> {
    let mut trials = vec![
        trial(kind, "an_empty_database_gets_everything_once", an_empty_database_gets_everything_once),
        trial(kind, "a_script_that_fails_leaves_nothing", a_script_that_fails_leaves_nothing),
        trial(kind, "an_error_is_found_on_its_line", an_error_is_found_on_its_line),
        trial(
            kind,
            "an_error_in_the_journal_is_reported_as_such",
            an_error_in_the_journal_is_reported_as_such,
        ),
        trial(kind, "what_a_script_sets_ends_with_it", what_a_script_sets_ends_with_it),
        trial(kind, "twenty_migrators_apply_each_script_once", twenty_migrators_apply_each_script_once),
        trial(kind, "a_busy_lock_is_waited_for", a_busy_lock_is_waited_for),
        trial(
            kind,
            "a_migrator_that_dies_leaves_a_script_boundary",
            a_migrator_that_dies_leaves_a_script_boundary,
        ),
        trial(
            kind,
            "kill_at_any_moment_leaves_a_script_boundary",
            kill_at_any_moment_leaves_a_script_boundary,
        ),
        trial(
            kind,
            "a_lock_of_another_session_is_not_waited_for_longer_than_asked",
            a_lock_is_not_waited_for_longer,
        ),
        trial(
            kind,
            "a_migration_that_is_stopped_releases_the_lock",
            a_migration_that_is_stopped_releases_the_lock,
        ),
        trial(kind, "no_transaction_says_when_it_is_half_done", no_transaction_says_when_it_is_half_done),
        trial(kind, "a_single_transaction_rolls_back_as_one", a_single_transaction_rolls_back_as_one),
        trial(kind, "states_that_a_journal_can_be_in", states_that_a_journal_can_be_in),
        trial(kind, "a_floor_above_a_binary_keeps_it_out", a_floor_above_a_binary_keeps_it_out),
        trial(kind, "the_journal_of_another_tool_is_refused", the_journal_of_another_tool_is_refused),
        trial(kind, "an_existing_database_is_adopted", an_existing_database_is_adopted),
        trial(kind, "a_squash_changes_nothing_for_a_database", a_squash_changes_nothing_for_a_database),
        trial(kind, "messages_of_the_server_are_shown", messages_of_the_server_are_shown),
        trial(kind, "what_is_in_always_runs_when_it_changes", what_is_in_always_runs_when_it_changes),
        trial(kind, "what_is_in_always_is_all_or_nothing", what_is_in_always_is_all_or_nothing),
    ];
    if kind == Kind::SqlServer {
        trials.extend([
            trial(kind, "an_error_behind_a_result_set_counts", an_error_behind_a_result_set_counts),
            trial(kind, "go_separates_and_repeats", go_separates_and_repeats),
            trial(kind, "a_script_must_leave_its_transaction", a_script_must_leave_its_transaction),
            trial(kind, "an_error_that_does_not_abort_counts", an_error_that_does_not_abort_counts),
            trial(kind, "an_error_inside_a_procedure_names_it", an_error_inside_a_procedure_names_it),
            trial(kind, "who_a_script_acts_as_ends_with_it", who_a_script_acts_as_ends_with_it),
        ]);
    }
    trials
}

fn trial<F: Future<Output = ()> + 'static>(kind: Kind, name: &str, case: fn(World) -> F) -> Trial {
    Trial::test(format!("{}::{name}", kind.name()), move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(async { case(World::create(kind).await).await });
        Ok(())
    })
}

fn failure(error: &Error) -> &ScriptFailure {
    match &error.kind {
        ErrorKind::Script(failure) => failure,
        _ => panic!("is no failure of a script: {error}"),
    }
}

async fn a_migration_that_is_stopped_releases_the_lock(world: World) {
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

async fn an_empty_database_gets_everything_once(world: World) {
    let all = world.history(&[
        BASELINE,
        "INSERT INTO orders (id) VALUES (1);",
        "-- onward: contract\nINSERT INTO orders (id) VALUES (2);",
    ]);
    assert_eq!(world.status(&all).await.state, SchemaState::Empty);

    let to_one = MigrateOptions { to: Some(1), ..options() };
    let first = world.migrate_with(&all, &to_one).await.expect("works");
    assert_eq!(first, Migrated { from: None, to: 1, scripts: 2 });
    let status = world.status(&all).await;
    assert_eq!((status.state, status.applied, status.pending), (SchemaState::Behind, Some(1), vec![2]));

    assert_eq!(world.migrate(&all).await.expect("works"), Migrated { from: Some(1), to: 2, scripts: 1 });
    assert_eq!(world.migrate(&all).await.expect("works"), Migrated { from: Some(2), to: 2, scripts: 0 });
    assert_eq!(world.status(&all).await.state, SchemaState::Current);
    let rows = "SELECT version, name, state, floor, host, app_version FROM schema_journal ORDER BY version";
    let expected = "0|Baseline|applied|0|test|1.2.3\n1|Script_0001|applied|0|test|1.2.3\n2|Script_0002|applied|2|test|1.2.3";
    assert_eq!(world.query(rows).await, expected);
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "2");
}

async fn a_script_that_fails_leaves_nothing(world: World) {
    let script = "INSERT INTO orders (id) VALUES (1);\nCREATE TABLE parcels (id int);\nINSERT INTO orders (id) VALUES (1);";
    let all = world.history(&[BASELINE, "INSERT INTO orders (id) VALUES (9);", script, "SELECT 1;"]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert_eq!(failure(&error).outcome, "Script-0002.sql was rolled back as a whole");
    assert_eq!(failure(&error).pending, ["Script-0002.sql", "Script-0003.sql"]);
    let status = world.status(&all).await;
    assert_eq!((status.state, status.applied), (SchemaState::Behind, Some(1)));
    assert_eq!(world.query("SELECT id FROM orders").await, "9");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'parcels'";
    assert_eq!(world.query(tables).await, "0");
    let corrected =
        world.history(&[BASELINE, "INSERT INTO orders (id) VALUES (9);", "SELECT 2;", "SELECT 1;"]);
    assert_eq!(world.migrate(&corrected).await.expect("goes on").scripts, 2);
}

async fn an_error_is_found_on_its_line(world: World) {
    let script = "INSERT INTO orders (id, note) VALUES (1, 'Zoë 🦀');\n\n-- größer\nINSERT INTO orders (id) VALUES (1);";
    let all = world.history(&[BASELINE, script]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert_eq!(failure(&error).place, "sql/Script-0001.sql:4:1");
    assert_eq!(
        failure(&error).statement.as_deref().map(|text| text.trim_end_matches(';')),
        Some("INSERT INTO orders (id) VALUES (1)")
    );
    assert_eq!(failure(&error).server.code, world.either("23505", "2627"));
}

async fn an_error_in_the_journal_is_reported_as_such(world: World) {
    let all = world.history(&[BASELINE, "-- onward: contract\nDROP TABLE schema_journal;"]);
    let error = world.migrate(&all).await.expect_err("has no journal any more");
    assert!(error.message.contains("its journal row could not be written"), "{error}");
    assert_eq!(world.status(&all).await.applied, Some(0), "the table is back");
}

async fn what_a_script_sets_ends_with_it(world: World) {
    let scripts = world.either(
        [
            "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.orders (id bigint);",
            "INSERT INTO orders VALUES (1);\nSET statement_timeout = 1;",
            "SELECT pg_sleep(0.05);",
            "SELECT 1;",
        ],
        [
            "CREATE TABLE orders (id bigint);\nGO\nSET XACT_ABORT OFF;\nSET NOCOUNT ON;",
            "INSERT INTO orders VALUES (1);\nSET ROWCOUNT 1;",
            "INSERT INTO orders SELECT id + 1 FROM orders UNION ALL SELECT id + 2 FROM orders;\nSET IMPLICIT_TRANSACTIONS ON;",
            "IF (SELECT count(*) FROM orders) <> 3 THROW 50000, 'the row count was not set back', 1;",
        ],
    );
    let all = world.history(&scripts);
    world.migrate(&all).await.expect("works");
    assert_eq!(world.status(&all).await.state, SchemaState::Current);
}

async fn twenty_migrators_apply_each_script_once(world: World) {
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

async fn a_busy_lock_is_waited_for(world: World) {
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

async fn a_migrator_that_dies_leaves_a_script_boundary(world: World) {
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

async fn kill_at_any_moment_leaves_a_script_boundary(world: World) {
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

async fn a_lock_is_not_waited_for_longer(world: World) {
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

async fn no_transaction_says_when_it_is_half_done(world: World) {
    let alone = world.either(
        "-- onward: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note);",
        "-- onward: no-transaction\nCREATE UNIQUE INDEX orders_note ON orders (note);",
    );
    let rows = "INSERT INTO orders (id, note) VALUES (1, 'a'), (2, 'a');";
    let all = world.history(&[BASELINE, rows, alone, "SELECT 1;"]);
    let error = world.migrate(&all).await.expect_err("is not unique");
    assert!(failure(&error).outcome.contains("ran outside a transaction"), "{error}");
    assert!(
        error.help.contains("DELETE FROM schema_journal WHERE version = 2 AND state = 'started'"),
        "{error}"
    );
    let again = world.migrate(&all).await.expect_err("is half done");
    assert!(
        matches!(again.kind, ErrorKind::State(_)) && again.message.contains("began and never ended"),
        "{again}"
    );

    world.query(world.either("DROP INDEX orders_note", "SELECT 1")).await;
    world.query("DELETE FROM orders WHERE id = 2").await;
    world.query("DELETE FROM schema_journal WHERE version = 2 AND state = 'started'").await;
    world.migrate(&all).await.expect("works");
    assert_eq!(world.query("SELECT state FROM schema_journal WHERE version = 2").await, "applied");
}

async fn a_single_transaction_rolls_back_as_one(world: World) {
    let alone = "-- onward: no-transaction\nDELETE FROM orders WHERE id = 99;";
    let all = world.history(&[
        BASELINE,
        "INSERT INTO orders (id) VALUES (1);",
        alone,
        "INSERT INTO orders (id) VALUES (2);",
        "INSERT INTO orders (id) VALUES (2);",
    ]);
    let together = MigrateOptions { single_transaction: true, ..options() };
    let error = world.migrate_with(&all, &together).await.expect_err("is a duplicate");
    let outcome = "rolled back Script-0003.sql to Script-0004.sql, which were to commit together";
    assert_eq!(failure(&error).outcome, outcome);
    assert_eq!(world.status(&all).await.applied, Some(2));
    assert_eq!(world.query("SELECT id FROM orders").await, "1");
}

async fn states_that_a_journal_can_be_in(world: World) {
    let all = world.history(&[BASELINE, "SELECT 1;", "SELECT 2;"]);
    world.migrate(&all).await.expect("works");
    let set = |digest: &str| format!("UPDATE schema_journal SET sha256 = '{digest}' WHERE version = 0");
    let sound = all.baseline.digest.to_string();
    world.query(&set(&"0".repeat(64))).await;
    assert_eq!(world.status(&all).await.state, SchemaState::Diverged, "edited");
    world.query(&set(&sound)).await;
    world.query("UPDATE schema_journal SET version = 3, name = 'Script_0003' WHERE version = 2").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Diverged, "a hole");
    world.query("DELETE FROM schema_journal WHERE version = 3").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Behind);
    world.query("DELETE FROM schema_journal WHERE version = 0").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Diverged, "the first row is missing");
    world.query("DELETE FROM schema_journal").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Unversioned, "an empty journal");
    world.query("DROP TABLE schema_journal").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Unversioned, "no journal");
    assert!(matches!(world.migrate(&all).await.expect_err("is refused").kind, ErrorKind::State(_)));
    world.query("DROP TABLE orders").await;
    assert_eq!(world.status(&all).await.state, SchemaState::Empty);
}

async fn a_floor_above_a_binary_keeps_it_out(world: World) {
    let older = world.history(&[BASELINE, "SELECT 1;"]);
    let expand = world.history(&[BASELINE, "SELECT 1;", "SELECT 2;"]);
    let contract = world.history(&[BASELINE, "SELECT 1;", "SELECT 2;", "-- onward: contract\nSELECT 3;"]);
    world.migrate(&expand).await.expect("works");
    let status = world.status(&older).await;
    assert_eq!((status.state, status.floor, status.may_serve()), (SchemaState::Ahead, 0, true));
    world.migrate(&contract).await.expect("works");
    let status = world.status(&older).await;
    assert_eq!((status.state, status.floor, status.may_serve()), (SchemaState::Ahead, 3, false));
    assert!(world.status(&contract).await.may_serve());
    let error = world.migrate(&older).await;
    assert!(error.is_err() || error.is_ok_and(|migrated| migrated.scripts == 0), "nothing runs backwards");
}

async fn the_journal_of_another_tool_is_refused(world: World) {
    world.query("CREATE TABLE schema_journal (id bigint, what varchar(50))").await;
    let all = world.history(&[BASELINE]);
    let error = status(&mut world.connect().await, &all).await.expect_err("is foreign");
    assert!(error.message.contains("is not a journal of Onward"), "{error}");
}

async fn an_existing_database_is_adopted(world: World) {
    world.query(BASELINE).await;
    world.query("INSERT INTO orders (id) VALUES (1)").await;
    let all = world.history(&[
        BASELINE,
        "-- onward: contract\nINSERT INTO orders (id) VALUES (1);",
        "INSERT INTO orders (id) VALUES (2);",
    ]);
    let refused = world.migrate(&all).await.expect_err("has tables and no journal");
    assert!(refused.help.contains("app adopt"), "{refused}");

    let given = |through| AdoptOptions {
        through,
        wait: Duration::from_secs(60),
        applier: Applier { host: "test".to_owned(), app_version: "1.2.3".to_owned() },
        verification: Verification::None,
        from: None,
    };
    let mut engine = world.connect().await;
    let error = adopt(&mut engine, &all, &given(Some(7)), &mut |_| {}).await.expect_err("there is none");
    assert!(matches!(error.kind, ErrorKind::Usage), "{error}");
    let adopted = adopt(&mut engine, &all, &given(Some(1)), &mut |_| {}).await.expect("works");
    assert_eq!((adopted.through, adopted.scripts), (1, 2));
    let status = world.status(&all).await;
    assert_eq!((status.state, status.floor, status.pending), (SchemaState::Behind, 1, vec![2]));
    let again = adopt(&mut engine, &all, &given(None), &mut |_| {}).await.expect_err("has a journal");
    assert!(again.message.contains("has a journal"), "{again}");

    world.migrate(&all).await.expect("goes on");
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "2");
    assert_eq!(
        world.query("SELECT state FROM schema_journal ORDER BY version").await,
        "adopted\nadopted\napplied"
    );
}

async fn a_squash_changes_nothing_for_a_database(world: World) {
    let long = world.history(&[
        BASELINE,
        "-- onward: contract\nINSERT INTO orders (id) VALUES (1);",
        "INSERT INTO orders (id) VALUES (2);",
        "INSERT INTO orders (id) VALUES (3);",
    ]);
    world.migrate_with(&long, &MigrateOptions { to: Some(2), ..options() }).await.expect("works");
    let baseline = format!("-- onward: contract\n{BASELINE}\nINSERT INTO orders (id) VALUES (1), (2);");
    let short = world.history_from(2, &[&baseline, "INSERT INTO orders (id) VALUES (3);"]);
    assert_eq!(world.status(&short).await.pending, [3]);
    assert_eq!(world.migrate(&short).await.expect("goes on"), Migrated { from: Some(2), to: 3, scripts: 1 });
    assert_eq!(world.status(&short).await.state, SchemaState::Current);
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "3");

    let fresh = World::create(world.kind).await;
    assert_eq!(fresh.migrate(&short).await.expect("works"), Migrated { from: None, to: 3, scripts: 2 });
    let older = fresh.history(&[BASELINE, "INSERT INTO orders (id) VALUES (1);"]);
    assert!(!fresh.status(&older).await.may_serve(), "what was folded had a contract script");
    let too_old = World::create(world.kind).await;
    too_old.migrate_with(&long, &MigrateOptions { to: Some(1), ..options() }).await.expect("works");
    let refused = too_old.migrate(&short).await.expect_err("the way from 1 to 2 is gone");
    assert!(refused.message.contains("upgrade first with a version that still has the scripts"), "{refused}");
}

async fn messages_of_the_server_are_shown(world: World) {
    let says = world.either("DO $$ BEGIN RAISE NOTICE 'hello'; END $$;", "PRINT 'hello';");
    let all = world.history(&[BASELINE, says]);
    let mut messages = Vec::new();
    let mut progress = |event| {
        if let Event::Notice { text } = event {
            messages.push(text);
        }
    };
    migrate(&mut world.connect().await, &all, &options(), &mut progress).await.expect("works");
    assert_eq!(messages, [world.either("NOTICE: hello", "hello")]);
}

async fn an_error_behind_a_result_set_counts(world: World) {
    let script = "CREATE TABLE a (id int PRIMARY KEY);\nSELECT 1;\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);";
    let all = world.history(&[BASELINE, script]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert_eq!(failure(&error).place, "sql/Script-0001.sql:4:1");
    assert_eq!(world.status(&all).await.applied, Some(0));
}

async fn go_separates_and_repeats(world: World) {
    let script = "CREATE PROCEDURE add_order @id bigint AS INSERT INTO orders (id) VALUES (@id);\nGO\n\
                  EXEC add_order 1;\nGO\n/* GO\n*/\nINSERT INTO orders (id) SELECT max(id) + 1 FROM orders\nGO 3\n\
                  INSERT INTO orders (id, note) VALUES (9, 'a\nGO\nb');\n";
    let all = world.history(&[BASELINE, script, "SELECT 1;\nGO\nSELECT 1;\n\nSELECT nope;\n"]);
    let error = world.migrate(&all).await.expect_err("has no such column");
    assert_eq!(failure(&error).place, "sql/Script-0002.sql:5:1");
    assert_eq!(failure(&error).server.batch, Some((2, 2)));
    assert_eq!(world.query("SELECT id FROM orders ORDER BY id").await, "1\n2\n3\n4\n9");
}

async fn a_script_must_leave_its_transaction(world: World) {
    let procedure = "CREATE PROCEDURE stop AS BEGIN INSERT INTO orders (id) VALUES (7); ROLLBACK; END";
    let all = world.history(&[BASELINE, procedure, "EXEC ('ROLLBACK TRANSACTION');"]);
    let error = world.migrate(&all).await.expect_err("ends the transaction");
    assert!(failure(&error).server.message.to_lowercase().contains("transaction"), "{error}");
    assert_eq!(world.status(&all).await.applied, Some(1));
    let open = world.history(&[BASELINE, procedure, "EXEC ('BEGIN TRANSACTION');"]);
    let error = world.migrate(&open).await.expect_err("leaves one open");
    assert!(failure(&error).outcome.contains("rolled back"), "{error}");
    assert_eq!(world.status(&open).await.applied, Some(1));
    let hidden = "EXEC ('COMMIT'); CREATE TABLE u (id int);\nGO\nSELECT 1 / 0;";
    let all = world.history(&[BASELINE, procedure, hidden]);
    let error = world.migrate(&all).await.expect_err("commits");
    assert_eq!(failure(&error).server.end, TransactionEnd::ByScript, "{error}");
    assert_eq!(world.status(&all).await.applied, Some(1));
    let tried = "BEGIN TRY EXEC ('COMMIT'); END TRY BEGIN CATCH END CATCH;\nGO\nSELECT 1 / 0;";
    let all = world.history(&[BASELINE, procedure, tried]);
    let error = world.migrate(&all).await.expect_err("commits and says nothing");
    assert_eq!(failure(&error).server.end, TransactionEnd::ByScript, "{error}");
}

async fn an_error_that_does_not_abort_counts(world: World) {
    let script = "INSERT INTO orders (id) VALUES (1);\nRAISERROR('not so fast', 16, 1);\nINSERT INTO orders (id) VALUES (2);";
    let all = world.history(&[BASELINE, script]);
    let error = world.migrate(&all).await.expect_err("raised an error");
    assert_eq!(failure(&error).server.message, "not so fast");
    assert_eq!(failure(&error).place, "sql/Script-0001.sql:2:1");
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "0");
}

async fn an_error_inside_a_procedure_names_it(world: World) {
    let procedure = "CREATE PROCEDURE twice AS\nBEGIN\n    INSERT INTO orders (id) VALUES (1);\n    INSERT INTO orders (id) VALUES (1);\nEND";
    let all = world.history(&[BASELINE, procedure, "SELECT 1;\nGO\n\nEXEC twice;"]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert!(
        failure(&error).server.context.as_deref().is_some_and(|context| context.contains("twice, line 4")),
        "{error}"
    );
    assert_eq!(failure(&error).place, "sql/Script-0002.sql:4:1");
}

async fn who_a_script_acts_as_ends_with_it(world: World) {
    let other = "CREATE USER other WITHOUT LOGIN;\nGO\nGRANT INSERT ON orders TO other;";
    let nested =
        "EXECUTE AS USER = 'other';\nGO\nINSERT INTO orders (id) VALUES (1);\nEXECUTE AS USER = 'other';";
    let all = world.history(&[BASELINE, other, nested, "CREATE TABLE ours (id int);"]);
    world.migrate(&all).await.expect("the journal and the next script are ours");
    let writers = "SELECT count(DISTINCT applied_by) FROM schema_journal";
    assert_eq!(world.query(writers).await, "1");
}

/// A statement that both servers know, and that adds a row at each run.
fn adds(note: &str) -> String {
    format!(
        "MERGE INTO runs USING (SELECT '{note}' AS note) AS s ON runs.id < 0 WHEN NOT MATCHED THEN INSERT (note) VALUES (s.note);"
    )
}

const RUNS: &str = "CREATE TABLE runs (id int NULL, note varchar(20) NOT NULL);";

async fn what_is_in_always_runs_when_it_changes(world: World) {
    let (first, second) = (adds("first"), adds("second"));
    let after = format!("-- onward: after z_first\n{second}");
    let always = [("a_second", after.as_str()), ("z_first", first.as_str())];
    let all = world.history_with(&[RUNS], &always);
    let empty = world.status(&all).await;
    assert_eq!((empty.state, empty.always.len()), (SchemaState::Empty, 2));
    let migrated = world.migrate(&all).await.expect("works");
    assert_eq!((migrated.to, migrated.scripts), (0, 3));
    let runs = async || {
        let notes = world.query("SELECT note FROM runs").await;
        let mut notes: Vec<_> = notes.lines().map(str::to_owned).collect();
        notes.sort();
        notes.join(" ")
    };
    assert_eq!(runs().await, "first second");
    assert_eq!(
        world.query("SELECT name FROM schema_always ORDER BY id").await,
        "z_first\na_second",
        "the order is theirs"
    );
    assert_eq!(world.status(&all).await.state, SchemaState::Current);
    assert_eq!(world.migrate(&all).await.expect("works").scripts, 0);

    let changed = adds("changed");
    let edited = world.history_with(&[RUNS], &[always[0], ("z_first", changed.as_str())]);
    let status = world.status(&edited).await;
    assert_eq!((status.state, status.always), (SchemaState::Behind, vec!["z_first".to_owned()]));
    assert!(!world.status(&edited).await.may_serve());
    assert_eq!(world.migrate(&edited).await.expect("works").scripts, 1);
    assert_eq!(runs().await, "changed first second");
    // The older binary may go on, and its `migrate` brings its own text back.
    assert!(world.status(&all).await.may_serve());
    assert_eq!(world.migrate(&all).await.expect("works").scripts, 1);
    assert_eq!(runs().await, "changed first first second");

    // A numbered script may have taken something from under them.
    let longer = world.history_with(&[RUNS, "DELETE FROM runs;", "DELETE FROM runs;"], &always);
    let to_one = MigrateOptions { to: Some(1), ..options() };
    let migrated = world.migrate_with(&longer, &to_one).await.expect("works");
    assert_eq!((migrated.to, migrated.scripts), (1, 1), "they run behind the last script only");
    let migrated = world.migrate(&longer).await.expect("works");
    assert_eq!((migrated.to, migrated.scripts), (2, 3));
    assert_eq!(runs().await, "first second");
    // A binary without the last script does not run its own.
    let ahead = world.status(&all).await;
    assert_eq!((ahead.state, ahead.always.len()), (SchemaState::Ahead, 0));
    assert_eq!(world.migrate(&all).await.expect("works").scripts, 0);
}

async fn what_is_in_always_is_all_or_nothing(world: World) {
    let good = adds("good");
    let bad = "MERGE INTO no_such_table USING (SELECT 1 AS n) AS s ON 1 = 0 WHEN NOT MATCHED THEN INSERT (n) VALUES (s.n);";
    let all = world.history_with(&[RUNS], &[("a", good.as_str()), ("b", bad)]);
    let failed = world.migrate(&all).await.expect_err("the second one fails");
    let ErrorKind::Script(failure) = &failed.kind else { panic!("{failed}") };
    assert!(failure.place.starts_with("sql/always/b.sql:1:"), "{failed}");
    assert!(failure.outcome.contains("rolled back always/a.sql to always/b.sql"), "{failed}");
    assert_eq!(
        world.query("SELECT COUNT(*) FROM runs").await,
        "0",
        "the numbered script stays, the other is rolled back"
    );
    assert_eq!(world.query("SELECT COUNT(*) FROM schema_always").await, "0");
    let status = world.status(&all).await;
    assert_eq!((status.state, status.applied), (SchemaState::Behind, Some(0)));
    let whole = world.history_with(&[RUNS], &[("a", good.as_str())]);
    assert_eq!(world.migrate(&whole).await.expect("works").scripts, 1);
}
