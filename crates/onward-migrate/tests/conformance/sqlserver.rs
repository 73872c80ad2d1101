//! The cases of SQL Server alone.

use onward_migrate::TransactionEnd;

use crate::world::{BASELINE, World, failure};

pub(crate) async fn an_error_behind_a_result_set_counts(world: World) {
    let script = "CREATE TABLE a (id int PRIMARY KEY);\nSELECT 1;\nINSERT INTO a VALUES (1);\nINSERT INTO a VALUES (1);";
    let all = world.history(&[BASELINE, script]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert_eq!(failure(&error).place, "sql/Script-0001.sql:4:1");
    assert_eq!(world.status(&all).await.applied, Some(0));
}

pub(crate) async fn go_separates_and_repeats(world: World) {
    let script = "CREATE PROCEDURE add_order @id bigint AS INSERT INTO orders (id) VALUES (@id);\nGO\n\
                  EXEC add_order 1;\nGO\n/* GO\n*/\nINSERT INTO orders (id) SELECT max(id) + 1 FROM orders\nGO 3\n\
                  INSERT INTO orders (id, note) VALUES (9, 'a\nGO\nb');\n";
    let all = world.history(&[BASELINE, script, "SELECT 1;\nGO\nSELECT 1;\n\nSELECT nope;\n"]);
    let error = world.migrate(&all).await.expect_err("has no such column");
    assert_eq!(failure(&error).place, "sql/Script-0002.sql:5:1");
    assert_eq!(failure(&error).server.batch, Some((2, 2)));
    assert_eq!(world.query("SELECT id FROM orders ORDER BY id").await, "1\n2\n3\n4\n9");
}

pub(crate) async fn a_script_must_leave_its_transaction(world: World) {
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

pub(crate) async fn an_error_that_does_not_abort_counts(world: World) {
    let script = "INSERT INTO orders (id) VALUES (1);\nRAISERROR('not so fast', 16, 1);\nINSERT INTO orders (id) VALUES (2);";
    let all = world.history(&[BASELINE, script]);
    let error = world.migrate(&all).await.expect_err("raised an error");
    assert_eq!(failure(&error).server.message, "not so fast");
    assert_eq!(failure(&error).place, "sql/Script-0001.sql:2:1");
    assert_eq!(world.query("SELECT count(*) FROM orders").await, "0");
}

pub(crate) async fn an_error_inside_a_procedure_names_it(world: World) {
    let procedure = "CREATE PROCEDURE twice AS\nBEGIN\n    INSERT INTO orders (id) VALUES (1);\n    INSERT INTO orders (id) VALUES (1);\nEND";
    let all = world.history(&[BASELINE, procedure, "SELECT 1;\nGO\n\nEXEC twice;"]);
    let error = world.migrate(&all).await.expect_err("is a duplicate");
    assert!(
        failure(&error).server.context.as_deref().is_some_and(|context| context.contains("twice, line 4")),
        "{error}"
    );
    assert_eq!(failure(&error).place, "sql/Script-0002.sql:4:1");
}

pub(crate) async fn who_a_script_acts_as_ends_with_it(world: World) {
    let other = "CREATE USER other WITHOUT LOGIN;\nGO\nGRANT INSERT ON orders TO other;";
    let nested =
        "EXECUTE AS USER = 'other';\nGO\nINSERT INTO orders (id) VALUES (1);\nEXECUTE AS USER = 'other';";
    let all = world.history(&[BASELINE, other, nested, "CREATE TABLE ours (id int);"]);
    world.migrate(&all).await.expect("the journal and the next script are ours");
    let writers = "SELECT count(DISTINCT applied_by) FROM schema_journal";
    assert_eq!(world.query(writers).await, "1");
}
