//! `queue redrive`, beside a running worker and with letters of every kind.

use serde_json::Value;

use crate::support::{Database, Queue, Running, Said, arguments, production, run};

struct World {
    database: Database,
    queue: Queue,
}

impl World {
    fn of(queue: Queue) -> Self {
        let world = Self { database: Database::create(), queue };
        assert_eq!(world.app(&["migrate"]).code, Some(0));
        world
    }

    fn app(&self, given: &[&str]) -> Said {
        run(&mut arguments(production(&self.database.url, &self.queue.url), given))
    }

    fn done(&self, given: &[&str]) -> String {
        let said = self.app(given);
        assert_eq!(said.code, Some(0), "{given:?}: {}", said.stderr);
        said.stdout
    }

    fn json(&self, given: &[&str]) -> Value {
        serde_json::from_str(&self.done(given)).expect("is JSON")
    }

    fn serve(&self) -> Running {
        let mut command = arguments(production(&self.database.url, &self.queue.url), ["serve"]);
        Running::start(command.env("HTTP_ADDR", "127.0.0.1:0"))
    }

    fn waiting(&self, place: usize) -> u64 {
        self.json(&["queue", "stats", "--json"])["queues"][place]["waiting"].as_u64().expect("is a number")
    }
}

#[test]
fn beside_a_running_worker_it_sends_each_letter_once_and_says_what_died_again() {
    let world = World::of(Queue::create());
    let mut serving = world.serve();
    serving.wait_for("serving");
    let body = r#"{"destination": "nowhere", "body": 1}"#;
    world.done(&["queue", "send", "--id", "order-7", body]);
    serving.wait_for("message rejected");
    assert_eq!(world.done(&["queue", "redrive"]), "1 message(s) sent to deliveries; 1 died again\n");
    let line = serving.wait_for("message rejected");
    assert!(line.contains("order-7"), "one identity for life: {line}");
    let dead = world.json(&["queue", "dead", "--json"]);
    assert_eq!(dead["messages"].as_array().map(Vec::len), Some(1), "{dead}");
    assert_eq!(dead["messages"][0]["id"], "order-7");
}

#[test]
fn dead_letters_are_counted_by_reason_and_deleted_on_request() {
    let world = World::of(Queue::create());
    let mut serving = world.serve();
    serving.wait_for("serving");
    for number in 0..12 {
        world.done(&["queue", "send", &format!(r#"{{"destination": "nowhere{number}", "body": 1}}"#)]);
        serving.wait_for("message rejected");
    }
    world.done(&["queue", "send", "no json"]);
    serving.wait_for("message rejected");
    serving.signal("-TERM");
    serving.end();

    let groups = world.json(&["queue", "dead", "--group", "--json"]);
    let of = |place: usize| &groups["groups"][place];
    assert_eq!(groups["groups"].as_array().map(Vec::len), Some(2), "{groups}");
    assert_eq!(of(0)["letters"], 12, "{groups}");
    assert!(of(0)["reason"].as_str().is_some_and(|it| it.contains("no destination `nowhere#`")), "{groups}");
    assert!(
        of(0)["first_ms"].as_u64() <= of(0)["last_ms"].as_u64() && of(0)["example"].is_string(),
        "{groups}"
    );
    let shown = world.done(&["queue", "dead", "--group"]);
    assert!(shown.ends_with("13 dead letter(s) in 2 group(s)\n"), "{shown}");

    let unconfirmed = world.app(&["queue", "delete", "--filter", "nowhere1"]);
    assert_eq!(unconfirmed.code, Some(2), "{}", unconfirmed.stderr);
    assert!(unconfirmed.stderr.contains("each dead letter with `nowhere1`"), "{}", unconfirmed.stderr);
    let deleted = world.done(&["queue", "delete", "--filter", "nowhere1", "--confirm", "deliveries"]);
    assert_eq!(deleted, "3 dead letter(s) of deliveries deleted; 10 stay\n");
    assert_eq!(world.waiting(1), 10, "what stays can be seen at once");
    let deleted = world.done(&["queue", "delete", "--confirm", "deliveries"]);
    assert_eq!(deleted, "10 dead letter(s) of deliveries deleted; 0 stay\n");
    assert_eq!(world.waiting(1), 0);
}

#[test]
fn large_letters_are_sent_in_batches_that_fit() {
    let world = World::of(Queue::create());
    let mut serving = world.serve();
    serving.wait_for("serving");
    let file = tempfile::NamedTempFile::new().expect("is made");
    let bodies: Vec<_> = (0..11).map(|number| format!("{number}{}", "x".repeat(200_000))).collect();
    std::fs::write(file.path(), bodies.join("\n")).expect("is written");
    world.done(&["queue", "send", "--lines", &file.path().to_string_lossy()]);
    for _ in 0..11 {
        serving.wait_for("message rejected");
    }
    serving.signal("-TERM");
    serving.end();
    assert_eq!(world.waiting(1), 11);
    assert_eq!(world.done(&["queue", "redrive"]), "11 message(s) sent to deliveries\n");
    assert_eq!((world.waiting(0), world.waiting(1)), (11, 0));
}

#[test]
fn a_filter_reaches_what_lies_behind_in_its_group_and_keeps_the_rest_in_order() {
    let world = World::of(Queue::named("deliveries.fifo"));
    let mut serving = world.serve();
    serving.wait_for("serving");
    for number in 0..15 {
        let kind = if number == 13 { "wanted" } else { "other" };
        world.done(&["queue", "send", "--group", "a", &format!("{kind} {number:02}")]);
        serving.wait_for("message rejected");
    }
    serving.signal("-TERM");
    serving.end();
    let said = world.done(&["queue", "redrive", "--filter", "wanted"]);
    assert!(said.starts_with("1 message(s) sent to deliveries.fifo; "), "{said}");
    assert_eq!(world.json(&["queue", "peek", "--json"])["messages"][0]["body"], "wanted 13");
    assert_eq!(world.waiting(1), 14);
    let dead = world.json(&["queue", "dead", "--max", "20", "--json"]);
    let bodies: Vec<_> =
        dead["messages"].as_array().expect("is a list").iter().map(|it| it["body"].clone()).collect();
    assert!(bodies.len() == 10 && bodies.is_sorted_by_key(ToString::to_string), "{bodies:?}");
}

#[test]
fn what_a_sender_wrote_survives_death_and_redrive() {
    let world = World::of(Queue::create());
    let mut serving = world.serve();
    serving.wait_for("serving");
    world.done(&["queue", "send", "--attribute", "tenant=acme", "--id", "own-1", "junk"]);
    serving.wait_for("message rejected");
    serving.signal("-TERM");
    serving.end();
    world.done(&["queue", "redrive"]);
    let mut serving = world.serve();
    let line = serving.wait_for("message rejected");
    assert!(line.contains("own-1"), "{line}");
    let letter = &world.json(&["queue", "dead", "--json"])["messages"][0];
    assert_eq!((&letter["id"], &letter["rejected"]["attempts"]), (&"own-1".into(), &1.into()));
}

#[test]
fn a_missing_dead_letter_queue_is_named() {
    let world = World::of(Queue::create());
    world.queue.delete("deliveries-dead");
    let said = world.app(&["queue", "stats"]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(
        said.stderr.contains("the dead-letter queue deliveries-dead cannot be counted"),
        "{}",
        said.stderr
    );
}
