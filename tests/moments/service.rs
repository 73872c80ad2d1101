//! The app under a service manager: its unit, and the messages that it sends.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::{Database, Queue, Running, app, arguments, in_production, production, project, run};

fn printed(given: &[&str]) -> String {
    let said = run(&mut arguments(arguments(app(), ["service", "install", "--print"]), given));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

#[test]
fn the_unit_has_the_requested_settings() {
    let unit = printed(&["--user", "worker", "--restart-delay", "5s", "--instance", "blue"]);
    for line in [
        "Type=notify",
        "User=worker",
        "RestartSec=5",
        "Restart=always",
        "RestartPreventExitStatus=2 3",
        "WatchdogSec=60",
        "Environment=APP_ENV=production",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}:\n{unit}");
    }
    assert!(unit.contains("Description=app-blue worker"), "{unit}");
    assert!(!unit.contains("EnvironmentFile"), "{unit}");
    let folder = tempfile::tempdir().expect("is made");
    let file = folder.path().join("app.env");
    std::fs::write(&file, "HTTP_ADDR=127.0.0.1:0\n").expect("is written");
    let unit = printed(&["--user-level", "--env-file", &file.to_string_lossy()]);
    assert!(unit.contains(&format!("\nEnvironmentFile={}\n", file.display())), "{unit}");
    assert!(!unit.contains("User="), "a user's manager runs it as that user: {unit}");
}

#[test]
fn what_cannot_be_a_service_is_refused() {
    for (given, code, reason) in [
        (&["--env-file", "/nowhere"][..], 3, "/nowhere cannot be read"),
        (&["--user", "x\nExecStart=/bin/sh"], 2, "cannot be a part of a service's definition"),
        (&["--name", "../../etc/x"], 2, "cannot be called"),
        (&["--instance", "a b"], 2, "cannot be called"),
        (&["--name", ""], 2, "cannot be called"),
        (&["--delayed"], 2, "--delayed is for Windows"),
        (&["--manual", "--disabled"], 2, "cannot be used with"),
    ] {
        let said = run(&mut arguments(arguments(app(), ["service", "install", "--print"]), given));
        assert_eq!(said.code, Some(code), "{given:?}: {}", said.stderr);
        assert!(said.stderr.contains(reason), "{given:?}: {}", said.stderr);
    }
}

#[test]
fn a_file_adds_to_the_environment() {
    let (database, queue, folder) = (Database::create(), Queue::create(), project());
    let file = folder.path().join("app.env");
    std::fs::write(&file, format!("DATABASE_URL='{}'\nQUEUE_URL=http://nowhere/q\n", database.url))
        .expect("is written");
    let given = || {
        let mut command = production("", &queue.url);
        command.env_remove("DATABASE_URL").current_dir(folder.path());
        command
    };
    let migrated = run(&mut arguments(given(), ["migrate", "--env-file", "app.env"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let checked = run(arguments(given(), ["doctor"]).env("ENV_FILE", &file));
    assert!(
        checked.stdout.contains(&format!("DATABASE_URL comes from {}", file.display())),
        "{}",
        checked.stdout
    );
    assert!(
        checked.stdout.contains("QUEUE_URL comes from the environment"),
        "it is stronger: {}",
        checked.stdout
    );

    std::fs::write(&file, "HTTP_ADDR\nDATABASE_URL=postgres://u:secret@h/d oops\n").expect("is written");
    let wrong = run(&mut arguments(given(), ["status", "--env-file=app.env"]));
    assert_eq!(wrong.code, Some(3), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("app.env cannot be read: line 1 is wrong at its character"),
        "{}",
        wrong.stderr
    );
    assert!(!wrong.stderr.contains("secret"), "{}", wrong.stderr);
}

#[test]
fn the_manager_gets_ready_alive_and_stopping() {
    let (database, queue, folder) = (Database::create(), Queue::create(), project());
    let migrated = in_production(&database, &queue, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("is writable");
    // A manager reads every message; a socket that nobody reads would block the sender.
    let (sender, messages) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                break;
            }
        }
    });
    let wait_for = |what: &str| loop {
        let text = messages.recv_timeout(Duration::from_secs(60));
        let text = text.unwrap_or_else(|error| panic!("no {what}: {error}"));
        if text.lines().any(|line| line.starts_with(what)) {
            return text;
        }
    };
    let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env("HTTP_ADDR", "127.0.0.1:0");
    let serving = Running::start(&mut command);
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    serving.signal("-TERM");
    assert!(wait_for("STOPPING=1").contains("EXTEND_TIMEOUT_USEC="));
    assert_eq!(serving.end().0.code(), Some(0));
}

#[test]
fn sighup_reads_the_log_levels_again() {
    let (database, queue) = (Database::create(), Queue::create());
    let migrated = in_production(&database, &queue, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let folder = tempfile::tempdir().expect("is made");
    let file = folder.path().join("levels");
    std::fs::write(&file, "info\n").expect("is written");

    let mut command = arguments(production(&database.url, &queue.url), ["serve"]);
    let mut serving = Running::start(command.env("RUST_LOG_FILE", &file).env_remove("RUST_LOG"));
    serving.wait_for("serving");
    std::fs::write(&file, "onward=debug=what\n").expect("is written");
    serving.signal("-HUP");
    serving.wait_for("the log levels stay as they are");
    std::fs::write(&file, "error,onward::telemetry=info\n").expect("is written");
    serving.signal("-HUP");
    serving.wait_for("the log levels were read again");
    let body = r#"{"destination": "nowhere", "body": 1}"#;
    let sent = in_production(&database, &queue, &["queue", "send", body]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    serving.signal("-TERM");
    let (status, log) = serving.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("message rejected"), "a warning of the worker is below its level now: {log}");

    std::fs::remove_file(&file).expect("is there");
    let mut command = arguments(production(&database.url, &queue.url), ["status"]);
    let missing = run(command.env("RUST_LOG_FILE", &file));
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
    assert!(missing.stderr.contains("RUST_LOG_FILE"), "{}", missing.stderr);
}
