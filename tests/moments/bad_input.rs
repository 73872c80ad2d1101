//! Every wrong input ends in a message with its cause and remedy, and in the right exit code.

use std::net::TcpListener;

use crate::support::{
    Database, Queue, Running, Said, app, arguments, development, in_production, production, project, run,
};

/// The app never shows a configured secret.
const SECRET: &str = "hush-hush";

fn refused(said: Said, code: i32, why: &str) {
    assert_eq!(said.code, Some(code), "{said:?}");
    assert!(said.stderr.contains(why), "{said:?}");
    assert!(said.stderr.contains("help: "), "{said:?}");
    assert!(!said.stderr.contains(SECRET) && !said.stdout.contains(SECRET), "{said:?}");
}

#[test]
fn a_wrong_database() {
    let database = Database::create();
    let name = database.url.rsplit('/').next().expect("has a name").to_owned();
    let host = database.url.split('@').next_back().expect("has a host").replace(&name, "nowhere");
    let migrate = |url: &str| run(&mut arguments(production(url, "http://127.0.0.1:1/0/x"), ["migrate"]));

    let malformed = format!("postgres://app:{SECRET}@localhost:port/x");
    refused(migrate(&malformed), 3, "DATABASE_URL cannot be read as a PostgreSQL address");
    let unreachable = format!("postgres://app:{SECRET}@127.0.0.1:1/x");
    refused(migrate(&unreachable), 1, "postgres://app@127.0.0.1:1/x cannot be reached");
    let credentials = format!("postgres://app:{SECRET}@{host}");
    refused(migrate(&credentials), 5, "password authentication failed");
    let missing = database.url.replace(&name, "nowhere");
    refused(migrate(&missing), 3, "database \"nowhere\" does not exist");
    refused(migrate("sqlserver://sa:hush-hush@localhost/x"), 3, "DATABASE_URL is");
    refused(run(app().env("APP_ENV", "production").arg("migrate")), 3, "DATABASE_URL is not set");
}

#[test]
fn a_wrong_queue() {
    let (database, queue) = (Database::create(), Queue::create());
    let migrated = in_production(&database, &queue, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let serve = |url: &str| run(&mut arguments(production(&database.url, url), ["serve"]));

    refused(serve("deliveries"), 3, "QUEUE_URL cannot be read as the URL of a queue");
    refused(serve(&queue.url.replace("deliveries", "nowhere")), 5, "there is no such queue");
    refused(serve("http://127.0.0.1:1/000000000000/deliveries"), 5, "the queue cannot be reached");
    let mut without = arguments(production(&database.url, &queue.url), ["serve"]);
    without.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("HOME", "/nonexistent");
    refused(run(&mut without), 5, "the queue refuses the credentials");
    let mut unset = arguments(production(&database.url, ""), ["serve"]);
    refused(run(&mut unset), 3, "QUEUE_URL is not set");
}

#[test]
fn a_message_that_cannot_be_delivered_goes_to_the_dead_letters_and_stops_nothing() {
    let project = project();
    let mut app = Running::start(&mut development(project.path()));
    app.wait_for("serving");
    for (body, reason) in [
        ("no json", "the body does not decode"),
        (r#"{"destination": "echo"}"#, "missing field `body`"),
        (r#"{"destination": "nowhere", "body": {}}"#, "there is no destination `nowhere`"),
    ] {
        let sent = run(&mut arguments(development(project.path()), ["queue", "send", body]));
        assert_eq!(sent.code, Some(0), "{}", sent.stderr);
        let line = app.wait_for("message rejected");
        assert!(line.contains(reason), "{line}");
    }
    app.signal("-INT");
    let (status, output) = app.end();
    assert_eq!(status.code(), Some(0));
    assert!(output.contains("3 received (0 again): 0 done, 0 retried, 3 rejected"), "{output}");
}

#[test]
fn if_a_port_is_busy_the_next_one_is_used() {
    // The port is in use: by this test, or by the app of another test.
    let _taken = TcpListener::bind("127.0.0.1:9324");
    let project = project();
    let mut app = Running::start(&mut development(project.path()));
    let queue = app.wait_for("queue     ");
    assert!(!queue.contains(":9324/"), "{queue}");
    app.wait_for("serving");
    app.signal("-INT");
    assert_eq!(app.end().0.code(), Some(0));
}

#[test]
fn no_postgresql_on_this_machine() {
    let project = project();
    let mut launch = development(project.path());
    launch.env("PATH", project.path()).env("ONWARD_POSTGRES_BIN", project.path());
    refused(run(&mut launch), 3, "no PostgreSQL binaries");
}

#[test]
fn a_wrong_option_of_a_worker() {
    let (database, queue) = (Database::create(), Queue::create());
    let serve = |variable: Option<(&str, &str)>, flags: &[&str]| {
        let mut serve = arguments(production(&database.url, &queue.url), ["serve"]);
        run(serve.args(flags).envs(variable))
    };
    let many = Some(("CONCURRENCY_DELIVERIES", "many"));
    refused(serve(many, &[]), 3, "CONCURRENCY_DELIVERIES is `many`, and must be a number");
    refused(serve(Some(("POLL_WAIT", "21s")), &[]), 3, "POLL_WAIT is `21s`, and must be 0 to 20 s");
    refused(serve(many, &["--concurrency", "0"]), 3, "--concurrency is `0`, and must be 1 to 10,000");
    refused(serve(None, &["--max-lease", "invoices=1h"]), 2, "--max-lease names the queue invoices");
}

#[test]
fn a_wrong_environment_and_a_wrong_command_line() {
    refused(run(app().env("APP_ENV", "staging")), 3, "APP_ENV is `staging`");
    refused(run(app().env("RUST_LOG", "a=b=c").arg("check")), 3, "RUST_LOG cannot be read as log levels");
    refused(run(app().env("APP_ENV", "production")), 2, "no command");
    assert_eq!(run(app().arg("migrat")).code, Some(2));

    let project = project();
    std::fs::write(project.path().join(".env"), format!("DATABASE_URL='{SECRET}\n")).expect("is writable");
    refused(run(&mut development(project.path())), 3, "the file .env cannot be read");
    let sent = run(&mut arguments(development(self::project().path()), ["queue", "send", "x"]));
    refused(sent, 3, "no development launch is running here");
}

#[test]
fn every_shell_completes_the_command_line() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = run(app().args(["completions", shell]));
        assert_eq!(said.code, Some(0), "{shell}: {}", said.stderr);
        assert!(said.stdout.contains("single-transaction"), "{shell}: {}", said.stdout);
    }
}

#[test]
fn the_manual_page_is_written_from_the_command_line() {
    let said = run(app().arg("man"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains(".TH app 1") && said.stdout.contains("migrate"), "{}", said.stdout);
}

#[test]
fn help_shows_no_secret() {
    let help = run(app().env("DATABASE_URL", format!("postgres://app:{SECRET}@localhost/x")).arg("--help"));
    assert_eq!(help.code, Some(0));
    assert!(!help.stdout.contains(SECRET), "{}", help.stdout);
}
