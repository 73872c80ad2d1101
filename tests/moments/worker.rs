//! The output of a worker while it works, and the commands for its queue.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{
    Database, Queue, Running, Said, arguments, free_address, get, in_production, production, run,
};

struct World {
    database: Database,
    queue: Queue,
}

impl World {
    fn new() -> Self {
        let world = Self { database: Database::create(), queue: Queue::create() };
        assert_eq!(world.app(&["migrate"]).code, Some(0));
        world
    }

    fn app(&self, given: &[&str]) -> Said {
        in_production(&self.database, &self.queue, given)
    }

    fn json(&self, given: &[&str]) -> Value {
        let said = self.app(given);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", said.stdout))
    }

    fn serve(&self, http_addr: &str) -> Running {
        let mut command = arguments(production(&self.database.url, &self.queue.url), ["serve"]);
        Running::start(command.env("HTTP_ADDR", http_addr))
    }
}

#[test]
fn health_and_metrics_are_served() {
    let world = World::new();
    let address = free_address();
    let mut serving = world.serve(&address);
    serving.wait_for("health and metrics");
    assert_eq!(world.app(&["queue", "send", "no json"]).code, Some(0));
    serving.wait_for("message rejected");
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(&address, "/metrics");
    for line in [
        "onward_messages_total{queue=\"deliveries\",outcome=\"received\"} 1",
        "onward_messages_total{queue=\"deliveries\",outcome=\"rejected\"} 1",
        "onward_sqs_calls_total{queue=\"deliveries\",call=\"send\"} 1",
        "# TYPE onward_sqs_dollars counter",
        "onward_dead_letters{queue=\"deliveries\"} 1",
        "onward_handler_duration_seconds_count{queue=\"deliveries\"} 1",
        "onward_schema_version 1",
    ] {
        assert!(metrics.contains(line), "{line}:\n{metrics}");
    }
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0));
}

#[test]
fn a_wrong_or_busy_http_address_is_refused() {
    let world = World::new();
    let (status, output) = world.serve("nowhere").end();
    assert_eq!(status.code(), Some(3), "{output}");
    assert!(output.contains("HTTP_ADDR is `nowhere`"), "{output}");
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (status, output) = world.serve(&busy.local_addr().expect("is bound").to_string()).end();
    assert_eq!(status.code(), Some(3), "{output}");
    assert!(output.contains("cannot be opened"), "{output}");
}

#[test]
fn the_doctor_finds_what_is_wrong_and_changes_nothing() {
    let world = World::new();
    assert_eq!(world.app(&["queue", "send", "untouched"]).code, Some(0));
    let well = world.json(&["doctor", "--json"]);
    assert_eq!(well["healthy"], true, "{well}");
    let verdicts: Vec<_> =
        well["checks"].as_array().expect("is a list").iter().map(|check| check["check"].as_str()).collect();
    for check in [
        "configuration",
        "database",
        "schema",
        "rights",
        "TLS",
        "clock",
        "connections",
        "queue",
        "ReceiveMessage",
        "DeleteMessage",
        "dead letters",
    ] {
        assert!(verdicts.contains(&Some(check)), "{check}: {well}");
    }
    let mut of_options = arguments(production(&world.database.url, &world.queue.url), ["doctor"]);
    // ECS sets it in each container.
    of_options.env("CONCURRENCY", "5").env("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x");
    let of_options = run(&mut of_options).stdout;
    assert!(
        of_options.contains("deliveries: concurrency 5 (from CONCURRENCY); else the defaults"),
        "{of_options}"
    );
    assert!(of_options.contains("help: set `stopTimeout` of the container to 65"), "{of_options}");
    let peeked = world.json(&["queue", "peek", "--json"]);
    assert_eq!(peeked["messages"][0]["receive_count"], 1, "the doctor has received nothing");

    world.database.query("DELETE FROM schema_journal WHERE version = 1");
    let ill = world.app(&["doctor"]);
    assert_eq!(ill.code, Some(1), "{}", ill.stdout);
    assert!(ill.stdout.contains("wrong  schema"), "{}", ill.stdout);
    assert!(ill.stdout.contains("help: run `app migrate`"), "{}", ill.stdout);
    let missing = run(&mut arguments(
        production(&world.database.url, &world.queue.url.replace("deliveries", "nowhere")),
        ["doctor"],
    ));
    assert_eq!(missing.code, Some(1), "{}", missing.stdout);
    assert!(missing.stdout.contains("there is no such queue"), "{}", missing.stdout);
}

#[test]
fn dead_letters_say_why_and_are_brought_back() {
    let world = World::new();
    let mut serving = world.serve("127.0.0.1:0");
    serving.wait_for("serving");
    for body in ["first junk", "second junk"] {
        assert_eq!(world.app(&["queue", "send", body]).code, Some(0));
        serving.wait_for("message rejected");
    }
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0), "every delete was sent");

    let stats = world.json(&["queue", "stats", "--json"]);
    assert_eq!(stats["queues"][0]["waiting"], 0, "{stats}");
    assert_eq!(
        (&stats["queues"][1]["queue"], &stats["queues"][1]["waiting"]),
        (&"deliveries-dead".into(), &2.into())
    );

    assert_eq!(world.json(&["queue", "dead", "--json"])["messages"].as_array().map(Vec::len), Some(2));
    // Looking has hidden nothing from the next command.
    let redriven = world.app(&["queue", "redrive", "--filter", "second"]);
    assert_eq!(
        redriven.stdout,
        "1 message(s) sent to deliveries; 1 left, which do not match or are not known to be of this queue\n"
    );
    let back = world.json(&["queue", "peek", "--json"]);
    assert_eq!(back["messages"][0]["body"], "second junk");
    assert_eq!(back["messages"][0]["rejected"], Value::Null, "the reason does not go with it");

    let unsure = world.app(&["queue", "purge"]);
    assert_eq!(unsure.code, Some(2), "{}", unsure.stderr);
    assert!(unsure.stderr.contains("`queue purge --confirm deliveries`"), "{}", unsure.stderr);
    assert_eq!(world.app(&["queue", "purge", "--confirm", "deliveries"]).code, Some(0));
    assert_eq!(world.json(&["queue", "stats", "--json"])["queues"][0]["waiting"], 0);
    let missing = world.app(&["queue", "--queue", "nowhere", "stats"]);
    assert_eq!(missing.code, Some(5), "{}", missing.stderr);
}

#[test]
fn a_dead_letter_carries_its_reason() {
    let world = World::new();
    let mut serving = world.serve("127.0.0.1:0");
    serving.wait_for("serving");
    assert_eq!(world.app(&["queue", "send", "junk"]).code, Some(0));
    serving.wait_for("message rejected");
    let dead = world.json(&["queue", "dead", "--json"]);
    let letter = &dead["messages"][0];
    assert_eq!(letter["body"], "junk", "the body is untouched");
    let rejected = &letter["rejected"];
    assert!(rejected["reason"].as_str().is_some_and(|reason| reason.contains("does not decode")), "{dead}");
    assert_eq!((&rejected["attempts"], &rejected["version"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(rejected["node"].is_string());
}
