//! `queue redrive`, beside a running worker and with letters of every kind.

use std::time::Instant;

use serde_json::Value;

use crate::support::{DEADLINE, Database, Queue, Running, Said, arguments, production, run};

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
        self.app_of(&self.queue.url, given)
    }

    /// The app of another queue.
    fn app_of(&self, queue: &str, given: &[&str]) -> Said {
        run(&mut arguments(production(&self.database.url, queue), given))
    }

    fn done(&self, given: &[&str]) -> String {
        self.done_of(&self.queue.url, given)
    }

    fn done_of(&self, queue: &str, given: &[&str]) -> String {
        let said = self.app_of(queue, given);
        assert_eq!(said.code, Some(0), "{given:?}: {}", said.stderr);
        said.stdout
    }

    fn json(&self, given: &[&str]) -> Value {
        serde_json::from_str(&self.done(given)).expect("is JSON")
    }

    fn serve(&self) -> Running {
        self.serve_of(&self.queue.url)
    }

    fn serve_of(&self, queue: &str) -> Running {
        let mut command = arguments(production(&self.database.url, queue), ["serve"]);
        // A stop awaits the open poll.
        Running::start(command.env("HTTP_ADDR", "127.0.0.1:0").env("POLL_WAIT", "1s"))
    }

    /// Sends messages to a queue and has all of them rejected.
    fn reject(&self, queue: &str, sends: &[&[&str]]) {
        let mut serving = self.serve_of(queue);
        serving.wait_for("serving");
        for send in sends {
            self.done_of(queue, &[&["queue", "send"], *send].concat());
            serving.wait_for("message rejected");
        }
        serving.signal("-TERM");
        serving.end();
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
    assert!(said.stderr.contains("the dead-letter queue deliveries-dead cannot be used"), "{}", said.stderr);
}

/// SQS takes the second one for a duplicate of the first for five minutes, whatever became of that.
#[test]
fn what_dies_again_in_a_fifo_queue_is_a_dead_letter_again() {
    let world = World::of(Queue::named("deliveries.fifo"));
    let ids = ["order-7", "заказ-7", "счёт-7"];
    for id in ids {
        world.reject(&world.queue.url, &[&["--group", "a", "--id", id, "junk"]]);
    }
    assert_eq!(world.waiting(1), 3, "ids that differ only in what SQS does not take as a deduplication id");
    assert_eq!(world.done(&["queue", "redrive"]), "3 message(s) sent to deliveries.fifo\n");
    let mut serving = world.serve();
    for _ in ids {
        serving.wait_for("message rejected");
    }
    serving.signal("-TERM");
    serving.end();
    assert_eq!((world.waiting(0), world.waiting(1)), (0, 3));
}

#[test]
fn letters_of_another_queue_stay_whatever_their_identity_is() {
    let world = World::of(Queue::create());
    let other = world.queue.beside("invoices");
    // Ten attributes leave no room to say of which queue a letter is.
    let full: Vec<_> = (0..10).map(|number| format!("--attribute=a{number}=x")).collect();
    let full: Vec<&str> = full.iter().map(String::as_str).chain(["junk of nobody"]).collect();
    world.reject(&world.queue.url, &[&["--id", "order-7", "junk"]]);
    world.reject(&other, &[&["--id", "order-7", "junk"], &full]);
    assert_eq!(world.json(&["queue", "dead", "--json"])["messages"].as_array().map(Vec::len), Some(3));
    let said = world.done(&["queue", "redrive"]);
    assert!(said.starts_with("1 message(s) sent to deliveries; 2 left"), "{said}");
    assert_eq!((world.waiting(0), world.waiting(1)), (1, 2));
    let said = world.done(&["queue", "delete", "--confirm", "deliveries"]);
    assert_eq!(said, "0 dead letter(s) of deliveries deleted; 2 stay\n");
    let said = world.done_of(&other, &["queue", "redrive"]);
    assert!(said.starts_with("1 message(s) sent to invoices; 1 left"), "{said}");
}

#[test]
fn two_bodies_with_one_identity_are_two_letters() {
    let world = World::of(Queue::create());
    world.reject(&world.queue.url, &[&["--id", "order-7", "one"], &["--id", "order-7", "other"]]);
    assert_eq!(world.done(&["queue", "redrive"]), "2 message(s) sent to deliveries\n");
    assert_eq!((world.waiting(0), world.waiting(1)), (2, 0));
}

/// A redrive moves it to the end of its group, and the copy must say of which queue it is.
#[test]
fn a_letter_that_a_queue_moved_by_itself_goes_back_to_no_other() {
    let world = World::of(Queue::named("deliveries.fifo"));
    let other = world.queue.beside("invoices.fifo");
    world.done_of(&other, &["queue", "send", "--group", "a", "--id", "order-7", "junk"]);
    world.queue.wear_out(&other);
    for _ in 0..2 {
        let said = world.done(&["queue", "redrive"]);
        assert!(said.starts_with("0 message(s) sent to deliveries.fifo; 1 left"), "{said}");
    }
    assert_eq!(world.done_of(&other, &["queue", "redrive"]), "1 message(s) sent to invoices.fifo\n");
    let peeked: Value =
        serde_json::from_str(&world.done_of(&other, &["queue", "peek", "--json"])).expect("is JSON");
    assert_eq!(peeked["messages"][0]["id"], "order-7");
}

#[test]
fn a_message_as_large_as_sqs_allows_dies_and_comes_back() {
    let world = World::of(Queue::create());
    let (file, body) = (tempfile::NamedTempFile::new().expect("is made"), "x".repeat(1024 * 1024));
    std::fs::write(file.path(), &body).expect("is written");
    world.reject(&world.queue.url, &[&["--lines", &file.path().to_string_lossy()]]);
    assert_eq!(world.waiting(1), 1);
    assert_eq!(world.done(&["queue", "redrive"]), "1 message(s) sent to deliveries\n");
    assert_eq!(world.json(&["queue", "peek", "--json"])["messages"][0]["body"], body);
}

#[test]
fn a_stopped_command_gives_back_what_it_has_received() {
    let world = World::of(Queue::create());
    let dead = world.queue.url.replace("deliveries", "deliveries-dead");
    let file = tempfile::NamedTempFile::new().expect("is made");
    std::fs::write(file.path(), "letter\n".repeat(5_000)).expect("is written");
    world.done_of(&dead, &["queue", "send", "--lines", &file.path().to_string_lossy()]);
    for command in [&["queue", "redrive", "--filter", "nothing"][..], &["queue", "dead", "--group"]] {
        let running =
            Running::start(&mut arguments(production(&world.database.url, &world.queue.url), command));
        let deadline = Instant::now() + DEADLINE;
        while world.json(&["queue", "stats", "--json"])["queues"][1]["in_flight"] == 0 {
            assert!(Instant::now() < deadline, "nothing is received");
        }
        running.signal("-INT");
        let (status, said) = running.end();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(said.contains("stopped before the end"), "{said}");
        assert_eq!(world.waiting(1), 5_000, "{command:?}: {said}");
    }
}

#[test]
fn a_command_that_finds_nothing_says_what_is_in_flight() {
    let world = World::of(Queue::create());
    world.reject(&world.queue.url, &[&["junk"]]);
    let dead = world.queue.url.replace("deliveries", "deliveries-dead");
    world.queue.hide(&dead);
    let said = world.app(&["queue", "redrive"]);
    assert_eq!(said.stdout, "0 message(s) sent to deliveries\n");
    assert!(said.stderr.contains("1 message(s) of deliveries-dead are in flight"), "{}", said.stderr);
}

#[test]
fn a_part_of_a_second_is_one_second_of_delay() {
    let world = World::of(Queue::create());
    world.done(&["queue", "send", "--delay", "899500ms", "later"]);
    assert_eq!(world.json(&["queue", "stats", "--json"])["queues"][0]["delayed"], 1);
    assert_eq!(world.app(&["queue", "send", "--delay", "900500ms", "too late"]).code, Some(5));
}

#[test]
fn behind_a_line_that_is_refused_nothing_of_its_group_is_sent() {
    let world = World::of(Queue::named("deliveries.fifo"));
    let file = tempfile::NamedTempFile::new().expect("is made");
    std::fs::write(file.path(), "first\n\n\u{ffff}\nthird\n").expect("is written");
    let said = world.app(&["queue", "send", "--group", "a", "--lines", &file.path().to_string_lossy()]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    for expected in ["the message of line 3", "1 of 3 messages were sent", "lines 3 to 4"] {
        assert!(said.stderr.contains(expected), "{expected}: {}", said.stderr);
    }
    assert_eq!(world.waiting(0), 1);
}

#[test]
fn a_message_that_is_too_large_is_named_by_its_line() {
    let world = World::of(Queue::create());
    let file = tempfile::NamedTempFile::new().expect("is made");
    std::fs::write(file.path(), format!("small\n{}\n", "x".repeat(1_048_577))).expect("is written");
    let said = world.app(&["queue", "send", "--lines", &file.path().to_string_lossy()]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    for expected in [
        "SQS refused the message of line 2",
        "1 of 2 messages were sent",
        "help: correct what the reason names",
    ] {
        assert!(said.stderr.contains(expected), "{expected}: {}", said.stderr);
    }
}

#[test]
fn what_a_command_cannot_mean_is_refused() {
    let world = World::of(Queue::create());
    for command in [
        &["queue", "delete", "--filter", "", "--confirm", "deliveries"][..],
        &["queue", "redrive", "--group", ""],
        &["queue", "send", "--lines", "-", "--id", "order-7"],
        &["queue", "send", "--lines", "-", "--deduplication-id", "order-7"],
        &["queue", "send", "--attribute", "a=1", "--attribute", "a=2", "x"],
        &["queue", "send", "--attribute", "onward.id=1", "--id", "2", "x"],
        &["queue", "send", "--attribute", "onward.id=1", "--lines", "/dev/null"],
    ] {
        let said = world.app(command);
        assert_eq!(said.code, Some(2), "{command:?}: {}", said.stderr);
    }
}

#[test]
fn a_terminal_obeys_no_message() {
    let world = World::of(Queue::create());
    let body = r#"{"destination": "\u001b[2J\nforged", "body": 1}"#;
    world.reject(&world.queue.url, &[&[body]]);
    let shown = world.done(&["queue", "dead"]);
    assert!(shown.contains(r"`\u{1b}[2J\nforged`") && !shown.contains('\u{1b}'), "{shown}");
}
