//! A command of the app's own: its arguments, the gate before it, its errors, and a stop.

#[expect(dead_code, reason = "another test uses the rest")]
mod world;

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use tokio_postgres::{Client, NoTls};
use world::World;

async fn connect(database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

fn output(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_with_the_state_of_the_app() {
    let world = World::create("command").await;
    let client = connect(&world.database).await;
    let orders =
        "INSERT INTO orders (number) VALUES (1), (2), (3); INSERT INTO invoices (order_number) VALUES (2)";
    client.batch_execute(orders).await.expect("is written");

    let shown = output(&mut world.app("missing"));
    assert_eq!((shown.status.code(), &*shown.stdout), (Some(0), &b"1\n3\n"[..]), "{}", said(&shown));
    let shown = output(world.app("missing").args(["--most", "1"]));
    assert_eq!(&*shown.stdout, b"1\n");
    for wrong in ["--least", "--most=many"] {
        let refused = output(world.app("missing").arg(wrong));
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        let flag = wrong.split('=').next().unwrap_or_default();
        assert!(said(&refused).contains(flag), "{}", said(&refused));
    }
    let help = output(&mut world.app("--help"));
    assert!(String::from_utf8_lossy(&help.stdout).contains("Show the orders without an invoice"));
    let completions = output(world.app("completions").arg("bash"));
    assert!(String::from_utf8_lossy(&completions.stdout).contains("missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_on_the_right_schema_only() {
    let world = World::create("command_gate").await;
    let client = connect(&world.database).await;
    let empty = format!("command_empty_{}", std::process::id());
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {empty}")).await.expect("is dropped");
    client.batch_execute(&format!("CREATE DATABASE {empty}")).await.expect("is created");
    let url = world.database.replace(&format!("command_gate_{}", std::process::id()), &empty);
    let refused = output(world.app("missing").env("DATABASE_URL", url));
    assert_eq!(refused.status.code(), Some(4), "{}", said(&refused));
    assert!(said(&refused).contains("migrate"), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_shown_with_its_causes() {
    let world = World::create("command_error").await;
    let client = connect(&world.database).await;
    client.batch_execute("DROP TABLE invoices").await.expect("is dropped");
    let failed = output(&mut world.app("missing"));
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    for expected in ["missing failed", "42P01", "invoices", "help:"] {
        assert!(said(&failed).contains(expected), "{expected}: {}", said(&failed));
    }
}

/// A scheduler must not take it for done.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_stop_before_it_begins_is_no_success() {
    let world = World::create("command_early").await;
    // A server that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("postgres://app@{}/app", silent.local_addr().expect("is bound"));
    let waiting =
        world.app("missing").env("DATABASE_URL", url).stderr(Stdio::piped()).spawn().expect("starts");
    let _asked = silent.accept().expect("it connects");
    let pid = waiting.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
    let stopped = waiting.wait_with_output().expect("ends");
    assert_eq!(stopped.status.code(), Some(130), "{}", said(&stopped));
    assert!(said(&stopped).contains("nothing was done"), "{}", said(&stopped));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_stop_ends_it_where_it_waits() {
    let world = World::create("command_stop").await;
    let client = connect(&world.database).await;
    client.batch_execute("BEGIN; LOCK TABLE orders").await.expect("is locked");
    let waiting = world.app("missing").stderr(Stdio::piped()).spawn().expect("starts");
    world.until("pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%NOT IN%'", 1).await;
    let pid = waiting.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
    let stopped = waiting.wait_with_output().expect("ends");
    assert_eq!(stopped.status.code(), Some(130), "{}", said(&stopped));
    assert!(said(&stopped).contains("a request to stop ended missing"), "{}", said(&stopped));
}
