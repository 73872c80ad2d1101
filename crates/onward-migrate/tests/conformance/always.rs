//! What runs again whenever it changes.

use onward_migrate::{ErrorKind, MigrateOptions, SchemaState};

use crate::world::{World, options};

/// A statement that both servers know, and that adds a row at each run.
fn adds(note: &str) -> String {
    format!(
        "MERGE INTO runs USING (SELECT '{note}' AS note) AS s ON runs.id < 0 WHEN NOT MATCHED THEN INSERT (note) VALUES (s.note);"
    )
}

const RUNS: &str = "CREATE TABLE runs (id int NULL, note varchar(20) NOT NULL);";

pub(crate) async fn what_is_in_always_runs_when_it_changes(world: World) {
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

pub(crate) async fn what_is_in_always_is_all_or_nothing(world: World) {
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
