//! Moment 2: a launch in development needs no preparation.

use crate::support::{Running, arguments, development, project, query, run};

const MESSAGE: &str = r#"{"destination": "echo", "body": {"hello": "world"}}"#;

#[test]
fn a_first_launch_upgrades_delivers_and_leaves_nothing_running() {
    let project = project();
    let mut app = Running::start(&mut development(project.path()));
    let database = app.wait_for("database  ");
    app.wait_for("schema    empty → 1");
    app.wait_for("queue     http://127.0.0.1:");
    app.wait_for("cargo run -- queue send");
    app.wait_for("serving");
    assert!(!database.contains(":@") && !database.contains("app:"), "no password is shown: {database}");

    let sent = run(&mut arguments(development(project.path()), ["queue", "send", MESSAGE]));
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    app.wait_for("delivered");
    app.wait_for("message done");

    app.signal("-INT");
    let (status, output) = app.end();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("1 received (0 again): 1 done"), "{output}");
    assert!(!data_file(project.path(), "postmaster.pid"), "the server has ended");
}

#[test]
fn a_script_that_was_added_while_the_app_was_stopped_is_applied_at_the_next_launch() {
    let project = project();
    let said = run(&mut arguments(development(project.path()), ["migrate", "--to", "0"]));
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "applied 1 script(s): the schema is at 0000\n"));

    let mut app = Running::start(&mut development(project.path()));
    app.wait_for("schema    0 → 1");
    app.wait_for("serving");
    app.signal("-TERM");
    assert_eq!(app.end().0.code(), Some(0));

    let mut again = Running::start(&mut development(project.path()));
    again.wait_for("schema    1, current");
    again.wait_for("serving");
    // The signal of a closed terminal.
    again.signal("-HUP");
    assert_eq!(again.end().0.code(), Some(0));
    assert!(!data_file(project.path(), "postmaster.pid"), "the server has ended");
}

#[test]
fn a_server_that_a_crash_left_running_is_used_and_ended() {
    let project = project();
    let mut app = Running::start(&mut development(project.path()));
    let before = app.wait_for("database  ");
    app.wait_for("serving");
    app.signal("-KILL");
    assert_eq!(app.end().0.code(), None);
    assert!(data_file(project.path(), "postmaster.pid"), "the crash left the server running");

    let mut next = Running::start(&mut development(project.path()));
    assert_eq!(next.wait_for("database  "), before, "it is the same server");
    next.wait_for("serving");
    next.signal("-INT");
    assert_eq!(next.end().0.code(), Some(0));
    assert!(!data_file(project.path(), "postmaster.pid"), "the server has ended");
}

#[test]
fn a_second_launch_and_a_rebuild_do_not_disturb_the_first() {
    let project = project();
    let mut first = Running::start(&mut development(project.path()));
    first.wait_for("serving");
    for command in [&[][..], &["rebuild"]] {
        let refused = run(&mut arguments(development(project.path()), command));
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("a launch runs in this folder already, process "),
            "{}",
            refused.stderr
        );
    }
    let sent = run(&mut arguments(development(project.path()), ["queue", "send", MESSAGE]));
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    first.wait_for("delivered");
    first.signal("-KILL");
    first.end();
    let rebuilt = run(&mut arguments(development(project.path()), ["rebuild"]));
    assert_eq!(rebuilt.code, Some(0), "a launch that was killed is none: {}", rebuilt.stderr);
}

#[test]
fn two_launches_share_the_server_and_the_first_to_end_does_not_stop_it() {
    let project = project();
    let mut first = Running::start(&mut development(project.path()));
    first.wait_for("serving");
    let queue = std::fs::read_to_string(project.path().join(".onward/queue-url")).expect("is there");
    let mut second = development(project.path());
    second
        .env("QUEUE_URL", queue.trim())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let mut second = Running::start(&mut second);
    let url = second.wait_for("database  ");
    second.wait_for("serving");
    first.signal("-INT");
    assert_eq!(first.end().0.code(), Some(0));

    let password =
        std::fs::read_to_string(project.path().join(".onward/postgres/password")).expect("is there");
    let url = url.trim_start_matches("  database  ").replace("app@", &format!("app:{}@", password.trim()));
    assert_eq!(query(&url, "SELECT count(*) FROM schema_journal"), "2");
    second.signal("-INT");
    assert_eq!(second.end().0.code(), Some(0));
}

#[test]
fn a_changed_draft_is_reported_with_the_command_that_helps() {
    let project = project();
    let migrated = run(&mut arguments(development(project.path()), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let mut app = Running::start(&mut development(project.path()));
    let url = app.wait_for("database  ");
    app.wait_for("serving");
    let password =
        std::fs::read_to_string(project.path().join(".onward/postgres/password")).expect("is there");
    let url = url.trim_start_matches("  database  ").replace("app@", &format!("app:{}@", password.trim()));
    query(&url, "UPDATE schema_journal SET sha256 = repeat('0', 64) WHERE version = 1");
    app.signal("-INT");
    assert_eq!(app.end().0.code(), Some(0));

    let refused = run(&mut arguments(development(project.path()), ["serve"]));
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("Script-0001.sql was applied with another text"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`cargo run -- rebuild`"), "{}", refused.stderr);
    for command in [&["migrate"][..], &["check"], &["status"], &["doctor"]] {
        let said = run(&mut arguments(development(project.path()), command));
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("rebuild it: `cargo run -- rebuild`"), "{command:?}: {all}");
    }
    let rebuilt = run(&mut arguments(development(project.path()), ["rebuild"]));
    assert_eq!((rebuilt.code, rebuilt.stdout.as_str()), (Some(0), "rebuilt app: the schema is at 0001\n"));
    assert_eq!(run(&mut arguments(development(project.path()), ["check"])).code, Some(0));
}

fn data_file(project: &std::path::Path, name: &str) -> bool {
    project.join(".onward/postgres/data").join(name).exists()
}

#[test]
fn a_development_database_gets_its_seeds() {
    let project = tempfile::tempdir().expect("is made");
    let scripts = project.path().join("sql");
    std::fs::create_dir_all(scripts.join("seeds")).expect("is made");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).expect("is there") {
        let entry = entry.expect("is readable");
        std::fs::copy(entry.path(), scripts.join(entry.file_name())).expect("is copied");
    }
    let seeds = scripts.join("seeds/development.sql");
    let insert = "INSERT INTO destinations VALUES ('seeded', 'http://localhost', 5)";
    std::fs::write(&seeds, format!("{insert};")).expect("is written");
    let checked = run(&mut arguments(development(project.path()), ["script", "check"]));
    assert!(checked.stdout.contains("error[repeatable]"), "{}", checked.stdout);
    std::fs::write(&seeds, format!("{insert} ON CONFLICT (name) DO NOTHING; SELECT 1/0;"))
        .expect("is written");
    let failed = run(&mut arguments(development(project.path()), ["migrate"]));
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("sql/seeds/development.sql:1:"), "{}", failed.stderr);

    std::fs::write(&seeds, format!("{insert} ON CONFLICT (name) DO NOTHING;")).expect("is written");
    let rebuilt = run(&mut arguments(development(project.path()), ["rebuild"]));
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    assert!(rebuilt.stderr.contains("sql/seeds/development.sql was run"), "{}", rebuilt.stderr);
    let mut app = Running::start(&mut development(project.path()));
    let url = app.wait_for("database  ");
    let password =
        std::fs::read_to_string(project.path().join(".onward/postgres/password")).expect("is there");
    let url = url.trim_start_matches("  database  ").replace("app@", &format!("app:{}@", password.trim()));
    assert_eq!(query(&url, "SELECT timeout_ms FROM destinations WHERE name = 'seeded'"), "5");
    app.signal("-INT");
    assert_eq!(app.end().0.code(), Some(0));
}

/// Cargo compares times, so a script that was replaced by an older file is not noticed by a build.
#[test]
fn a_launch_with_other_scripts_than_the_folder_holds_is_refused() {
    let project = tempfile::tempdir().expect("is made");
    let scripts = project.path().join("sql");
    std::fs::create_dir(&scripts).expect("is made");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql")).expect("is there") {
        let entry = entry.expect("is readable");
        std::fs::copy(entry.path(), scripts.join(entry.file_name())).expect("is copied");
    }
    let checked = run(&mut arguments(development(project.path()), ["script", "check"]));
    assert!(!checked.stderr.contains("embeds other scripts"), "{}", checked.stderr);

    let new = run(&mut arguments(development(project.path()), ["script", "new", "Not begun yet"]));
    assert_eq!(new.stdout, "sql/Script-0002.sql\n", "{}", new.stderr);
    let launched = run(&mut arguments(development(project.path()), ["migrate"]));
    assert_eq!(launched.code, Some(0), "a new script stops no command: {}", launched.stderr);

    std::fs::write(scripts.join("Baseline.sql"), "SELECT 1;").expect("is written");
    let refused = run(&mut development(project.path()));
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("other scripts than sql/ holds: Baseline.sql differs"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("touch build.rs"), "{}", refused.stderr);
    let noted = run(&mut arguments(development(project.path()), ["script", "check"]));
    assert!(noted.stderr.contains("Baseline.sql differs"), "{}", noted.stderr);
}
