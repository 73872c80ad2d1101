use std::future::Future;
use std::time::Duration;

use libtest_mimic::Trial;
use onward_migrate::{
    AdoptOptions, Applier, ErrorKind, Event, MigrateOptions, Migrated, SchemaState, Verification, adopt,
    migrate, status,
};

use crate::world::{BASELINE, Kind, World, failure, options};
use crate::{always, locks, sqlserver};

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
        trial(
            kind,
            "twenty_migrators_apply_each_script_once",
            locks::twenty_migrators_apply_each_script_once,
        ),
        trial(kind, "a_busy_lock_is_waited_for", locks::a_busy_lock_is_waited_for),
        trial(
            kind,
            "a_migrator_that_dies_leaves_a_script_boundary",
            locks::a_migrator_that_dies_leaves_a_script_boundary,
        ),
        trial(
            kind,
            "kill_at_any_moment_leaves_a_script_boundary",
            locks::kill_at_any_moment_leaves_a_script_boundary,
        ),
        trial(
            kind,
            "a_lock_of_another_session_is_not_waited_for_longer_than_asked",
            locks::a_lock_is_not_waited_for_longer,
        ),
        trial(
            kind,
            "a_migration_that_is_stopped_releases_the_lock",
            locks::a_migration_that_is_stopped_releases_the_lock,
        ),
        trial(kind, "no_transaction_says_when_it_is_half_done", no_transaction_says_when_it_is_half_done),
        trial(kind, "a_single_transaction_rolls_back_as_one", a_single_transaction_rolls_back_as_one),
        trial(kind, "states_that_a_journal_can_be_in", states_that_a_journal_can_be_in),
        trial(kind, "a_floor_above_a_binary_keeps_it_out", a_floor_above_a_binary_keeps_it_out),
        trial(kind, "the_journal_of_another_tool_is_refused", the_journal_of_another_tool_is_refused),
        trial(kind, "an_existing_database_is_adopted", an_existing_database_is_adopted),
        trial(kind, "a_squash_changes_nothing_for_a_database", a_squash_changes_nothing_for_a_database),
        trial(kind, "messages_of_the_server_are_shown", messages_of_the_server_are_shown),
        trial(kind, "what_is_in_always_runs_when_it_changes", always::what_is_in_always_runs_when_it_changes),
        trial(kind, "what_is_in_always_is_all_or_nothing", always::what_is_in_always_is_all_or_nothing),
    ];
    if kind == Kind::SqlServer {
        trials.extend([
            trial(
                kind,
                "an_error_behind_a_result_set_counts",
                sqlserver::an_error_behind_a_result_set_counts,
            ),
            trial(kind, "go_separates_and_repeats", sqlserver::go_separates_and_repeats),
            trial(
                kind,
                "a_script_must_leave_its_transaction",
                sqlserver::a_script_must_leave_its_transaction,
            ),
            trial(
                kind,
                "an_error_that_does_not_abort_counts",
                sqlserver::an_error_that_does_not_abort_counts,
            ),
            trial(
                kind,
                "an_error_inside_a_procedure_names_it",
                sqlserver::an_error_inside_a_procedure_names_it,
            ),
            trial(kind, "who_a_script_acts_as_ends_with_it", sqlserver::who_a_script_acts_as_ends_with_it),
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
