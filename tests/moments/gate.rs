//! The third moment: `app serve` starts on the right schema only.

use crate::support::{Database, Queue, Running, arguments, in_production, production, run};

/// A role that may work with the app's rows and read the journal, and nothing else.
#[test]
fn serve_needs_no_right_to_change_the_schema() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
    let role = format!("serve_{}", std::process::id());
    database.query(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON schema_journal, destinations TO {role}; \
         GRANT SELECT, INSERT, UPDATE ON deliveries TO {role}"
    ));
    let (_, host) = database.url.split_once('@').expect("has a host");
    let narrow = format!("postgres://{role}:x@{host}");
    let mut serving = Running::start(&mut arguments(production(&narrow, &queue.url), ["serve"]));
    serving.wait_for("serving");
    let sent =
        in_production(&database, &queue, &["queue", "send", r#"{"destination": "nowhere", "body": 1}"#]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    serving.wait_for("there is no destination `nowhere`");
    serving.signal("-TERM");
    let (status, output) = serving.end();
    assert_eq!(status.code(), Some(0), "{output}");
    let refused = run(&mut arguments(production(&narrow, &queue.url), ["migrate", "--to", "1"]));
    assert_eq!(refused.stdout, "nothing to do: the schema is at 0001\n", "{}", refused.stderr);
    database.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The floor has risen above this binary: a newer one has removed what it uses.
#[test]
fn a_worker_that_is_too_old_for_the_schema_drains_and_exits_with_4() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
    let mut serving = Running::start(&mut arguments(production(&database.url, &queue.url), ["serve"]));
    serving.wait_for("serving");
    database.query(
        "INSERT INTO schema_journal SELECT 2, 'Script_0002', applied_on, checksum, sha256, state, 2, duration_ms, \
         applied_by, host, app_version FROM schema_journal WHERE version = 1",
    );
    serving.wait_for("the schema needs a newer binary: draining");
    let (status, output) = serving.end();
    assert_eq!(status.code(), Some(4), "{output}");
    assert!(output.contains("needs a binary that knows 0002"), "{output}");
}

#[test]
fn serve_refuses_a_stale_schema_and_says_what_is_pending() {
    let (database, queue) = (Database::create(), Queue::create());
    let refused = in_production(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    insta::assert_snapshot!("refused-empty", refused.stderr);

    in_production(&database, &queue, &["migrate", "--to", "0"]);
    let refused = in_production(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    insta::assert_snapshot!("refused-behind", refused.stderr);
    assert_eq!(database.query("SELECT count(*) FROM schema_journal"), "1", "serve upgrades nothing");
}

#[test]
fn serve_refuses_an_unversioned_and_a_diverged_schema() {
    let (database, queue) = (Database::create(), Queue::create());
    database.query("CREATE TABLE somebody_elses (id bigint)");
    for command in ["serve", "migrate"] {
        let refused = in_production(&database, &queue, &[command]);
        assert_eq!(refused.code, Some(4));
        assert!(refused.stderr.contains("the database has tables and no journal"), "{}", refused.stderr);
    }

    let database = Database::create();
    in_production(&database, &queue, &["migrate"]);
    database.query("UPDATE schema_journal SET sha256 = repeat('0', 64) WHERE version = 1");
    for command in ["serve", "migrate"] {
        let refused = in_production(&database, &queue, &[command]);
        assert_eq!(refused.code, Some(4));
        let why = "Script-0001.sql was applied with another text than this binary embeds";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn an_older_binary_serves_until_the_floor_rises_above_it() {
    let (database, queue) = (Database::create(), Queue::create());
    in_production(&database, &queue, &["migrate"]);
    let newer = "INSERT INTO schema_journal SELECT 2, 'Script_0002', applied_on, checksum, sha256, state, \
                 0, 1, applied_by, host, app_version FROM schema_journal WHERE version = 1";
    database.query(newer);
    let mut serving = Running::start(&mut arguments(production(&database.url, &queue.url), ["serve"]));
    serving.wait_for("serving");
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0));

    database.query("UPDATE schema_journal SET floor = 2 WHERE version = 2");
    let refused = in_production(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    assert!(refused.stderr.contains("needs a binary that knows 0002"), "{}", refused.stderr);
}
