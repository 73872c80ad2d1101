//! All scripts in one transaction.

use onward_migrate::{ErrorKind, MigrateOptions};

use crate::world::{BASELINE, Database, history, options};

#[tokio::test]
async fn a_single_transaction_rolls_back_its_neighbours_and_breaks_at_no_transaction() {
    let database = Database::create().await;
    let alone = "-- onward: no-transaction\nVACUUM orders;";
    let all = history(&[
        BASELINE,
        "INSERT INTO orders VALUES (1);",
        alone,
        "INSERT INTO orders VALUES (2);",
        "SELECT 1/0;",
    ]);
    let together = MigrateOptions { single_transaction: true, ..options() };
    let error = database.migrate(&all, &together).await.expect_err("fails");
    insta::assert_snapshot!("single-transaction", error);
    assert_eq!(database.status(&all).await.applied, Some(2));
    assert_eq!(database.query("SELECT count(*) FROM orders").await, "1");
}

/// Scripts are on their way while one before them runs. A sequence keeps what a rollback does not undo, so it shows which of them ran.
#[tokio::test]
async fn a_single_transaction_runs_nothing_behind_a_script_that_fails() {
    const FAILS: usize = 20;
    let database = Database::create().await;
    let counts = "SELECT nextval('runs');".to_owned();
    let long = format!("SELECT length('{}'), nextval('runs');", "x".repeat(3_000_000));
    let text = |number| match number {
        0 => "CREATE TABLE orders (id int); CREATE SEQUENCE runs;".to_owned(),
        7 | 19 | 25 => long.clone(),
        FAILS => "INSERT INTO orders VALUES (1);\nSELECT 1/0;".to_owned(),
        _ => counts.clone(),
    };
    let texts: Vec<String> = (0..60).map(text).collect();
    let all = history(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    database.migrate(&all, &MigrateOptions { to: Some(0), ..options() }).await.expect("works");
    let together = MigrateOptions { single_transaction: true, ..options() };
    let error = database.migrate(&all, &together).await.expect_err("fails").to_string();
    assert!(error.contains("sql/Script-0020.sql:2"), "{error}");
    assert!(error.contains("rolled back Script-0001.sql to Script-0059.sql"), "{error}");
    assert_eq!(database.query("SELECT last_value FROM runs").await, (FAILS - 1).to_string());
    assert_eq!(database.status(&all).await.applied, Some(0));

    let corrected: Vec<&str> =
        texts.iter().enumerate().map(|(at, text)| if at == FAILS { &*counts } else { text }).collect();
    let migrated = database.migrate(&history(&corrected), &together).await.expect("works");
    assert_eq!((migrated.from, migrated.to, migrated.scripts), (Some(0), 59, 59));
    assert_eq!(database.query("SELECT last_value FROM runs").await, (FAILS - 1 + 59).to_string());
}

/// The server reads the whole of a query before it runs any of it, so a script that it cannot read must not take the BEGIN with it.
#[tokio::test]
async fn a_single_transaction_is_open_before_its_first_script() {
    let database = Database::create().await;
    database.migrate(&history(&[BASELINE]), &options()).await.expect("works");
    let unreadable = "-- onward: syntax-unchecked the server knows better\nSELEC 1;";
    let all = history(&[BASELINE, unreadable, "CREATE TABLE leaked (id int);", "SELECT 2;"]);
    let together = MigrateOptions { single_transaction: true, ..options() };
    let error = database.migrate(&all, &together).await.expect_err("fails").to_string();
    assert!(error.contains("sql/Script-0001.sql:2:1") && error.contains("rolled back"), "{error}");
    assert_eq!(database.query("SELECT to_regclass('leaked') IS NULL").await, "t");
    assert_eq!(database.status(&all).await.applied, Some(0));
}

/// The rows of the journal are written last, and each still belongs to its script.
#[tokio::test]
async fn a_single_transaction_names_the_script_whose_journal_row_is_refused() {
    let database = Database::create().await;
    let refuses = "CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.version = 2 THEN RAISE 'no row 2'; \
                   END IF; RETURN NEW; END $$; CREATE TRIGGER few BEFORE INSERT ON schema_journal FOR EACH ROW EXECUTE FUNCTION few();";
    let deferred = "CREATE TABLE notes (id int PRIMARY KEY, other int REFERENCES notes DEFERRABLE INITIALLY DEFERRED); \
                    INSERT INTO notes VALUES (1, 9);";
    let all = history(&[BASELINE, refuses, "SELECT 1;", "SELECT 2;"]);
    for single_transaction in [false, true] {
        let options = MigrateOptions { single_transaction, ..options() };
        let error = database.migrate(&all, &options).await.expect_err("row 2 is refused");
        let text = error.to_string();
        assert!(text.contains("Script-0002.sql ran, but its journal row could not be written"), "{text}");
        assert!(text.contains("no row 2"), "{text}");
        let ErrorKind::Script(failure) = &error.kind else { panic!("{error}") };
        assert_eq!(failure.server.end, onward_migrate::TransactionEnd::RolledBack, "{text}");
        if single_transaction {
            break;
        }
        database.query("DROP TABLE schema_journal, orders; DROP FUNCTION few").await;
    }
    assert_eq!(database.query("SELECT to_regclass('orders') IS NULL").await, "t", "all is rolled back");

    let all = history(&[BASELINE, deferred]);
    let together = MigrateOptions { single_transaction: true, ..options() };
    let text = database.migrate(&all, &together).await.expect_err("a row is missing").to_string();
    assert!(text.contains("Script-0001.sql failed") && text.contains("at the commit"), "{text}");
}

#[tokio::test]
async fn a_single_transaction_commits_before_an_enum_value_is_used() {
    let database = Database::create().await;
    let all = history(&[
        "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE moods (mood mood);",
        "INSERT INTO moods VALUES ('glad'); ALTER TYPE mood ADD VALUE 'calm';",
        "INSERT INTO moods VALUES ('calm');",
    ]);
    let first = MigrateOptions { to: Some(0), ..options() };
    database.migrate(&all, &first).await.expect("the type is there");
    let together = MigrateOptions { single_transaction: true, ..options() };
    assert_eq!(database.migrate(&all, &together).await.expect("works").scripts, 2);
    assert_eq!(database.query("SELECT count(*) FROM moods").await, "2");
}
