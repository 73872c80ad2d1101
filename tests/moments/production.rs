//! Moment 3: `migrate`, then `serve`, which starts only on the right schema.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::support::{Database, Queue, Running, arguments, in_production, production, run};

#[test]
fn migrate_then_serve() {
    let (database, queue) = (Database::create(), Queue::create());
    let status = |expected: serde_json::Value, exit| {
        let said = in_production(&database, &queue, &["status", "--json", "--exit-code"]);
        assert_eq!(said.code, Some(exit), "{}", said.stderr);
        let mut object: serde_json::Value = serde_json::from_str(&said.stdout).expect("is JSON");
        let fields = object.as_object_mut().expect("is an object");
        let address = fields.remove("database").expect("is named").to_string();
        assert!(address.contains("postgres://app@127.0.0.1:") && !address.contains(":x@"), "{address}");
        let applied_on = fields.remove("applied_on").expect("is there");
        assert_eq!(applied_on.is_string(), exit == 0, "{applied_on}");
        assert_eq!(object, expected);
    };
    let expected = serde_json::json!({
        "applied": null, "divergences": [], "floor": 0, "latest": 1, "state": "empty",
        "pending": ["Baseline.sql", "Script-0001.sql"], "help": "run `app migrate`",
    });
    status(expected, 4);
    assert_eq!(in_production(&database, &queue, &["history"]).stdout, "nothing was applied\n");
    assert_eq!(in_production(&database, &queue, &["check"]).code, Some(4));

    let planned = in_production(&database, &queue, &["migrate", "--plan"]);
    insta::assert_snapshot!("plan", planned.stdout);
    let sql = in_production(&database, &queue, &["migrate", "--plan", "--sql", "-"]);
    let shown = sql.stdout.split_once("postgres://").expect("names the database").1;
    insta::assert_snapshot!("plan-sql", shown.split_once('\n').expect("has lines").1);
    let page = in_production(&database, &queue, &["migrate", "--plan", "--html", "-"]);
    let shown = page.stdout.split_once("<dt>Scripts to run").expect("is the page").1;
    insta::assert_snapshot!("plan-html", shown);
    assert!(page.stdout.contains("<dd>postgres://app@"), "the address without its password: {}", page.stdout);
    assert_eq!(
        in_production(&database, &queue, &["migrate", "--sql", "plan.sql"]).code,
        Some(2),
        "without --plan"
    );
    let nowhere = in_production(&database, &queue, &["migrate", "--plan", "--sql", "/nowhere/plan.sql"]);
    assert!(
        nowhere.code == Some(1) && nowhere.stderr.contains("/nowhere/plan.sql cannot be written"),
        "{nowhere:?}"
    );
    assert_eq!(database.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");

    let migrated = in_production(&database, &queue, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(migrated.stdout, "applied 2 script(s): the schema is at 0001\n");
    let expected = serde_json::json!({
        "applied": 1, "divergences": [], "floor": 0, "latest": 1, "state": "current", "pending": [],
        "help": "there is nothing to do",
    });
    status(expected, 0);
    let history = in_production(&database, &queue, &["history"]);
    let lines: Vec<_> = history.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", history.stdout);
    for (line, file) in lines.iter().zip(["Baseline.sql", "Script-0001.sql"]) {
        assert!(
            line.contains(file) && line.contains(" ms  by app from ") && line.contains("version 0.1.0"),
            "{line}"
        );
    }
    let history: serde_json::Value =
        serde_json::from_str(&in_production(&database, &queue, &["history", "--json"]).stdout)
            .expect("is JSON");
    assert_eq!(
        (&history[1]["version"], &history[1]["title"]),
        (&1.into(), &"What became of each delivery".into())
    );
    assert_eq!(in_production(&database, &queue, &["check"]).code, Some(0));
    assert_eq!(
        in_production(&database, &queue, &["migrate"]).stdout,
        "nothing to do: the schema is at 0001\n"
    );

    let (url, received) = destination();
    database.query(&format!("INSERT INTO destinations (name, url) VALUES ('shop', '{url}')"));
    let mut serving = Running::start(&mut arguments(production(&database.url, &queue.url), ["serve"]));
    serving.wait_for("serving");
    let body = r#"{"destination": "shop", "body": {"order": 7}}"#;
    let sent = in_production(&database, &queue, &["queue", "send", body]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    serving.wait_for("message done");

    let request = received.recv().expect("a request came");
    assert!(request.starts_with("POST / HTTP/1.1"), "{request}");
    assert!(request.contains(&format!("idempotency-key: {}", sent.stdout.trim())), "{request}");
    assert!(request.ends_with(r#"{"order": 7}"#), "{request}");
    let row = database.query("SELECT message_id, status, http_status, attempts FROM deliveries");
    assert_eq!(row, format!("{}|delivered|200|1", sent.stdout.trim()));

    serving.signal("-TERM");
    let (status, output) = serving.end();
    assert_eq!(status.code(), Some(0), "{output}");
}

#[test]
fn a_change_that_no_script_made_is_shown() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(in_production(&database, &queue, &["migrate"]).code, Some(0));
    let compared = in_production(&database, &queue, &["status", "--drift", "--exit-code"]);
    assert_eq!(compared.code, Some(0), "{}", compared.stdout);
    assert!(compared.stdout.contains("drift    none: 18 object(s)"), "{}", compared.stdout);

    database.query("CREATE INDEX by_hand ON deliveries (status); ALTER TABLE deliveries DROP COLUMN reason");
    let compared = in_production(&database, &queue, &["status", "--drift"]);
    assert_eq!(compared.code, Some(0));
    for expected in
        ["drift    column deliveries.reason is missing", "drift    index by_hand is not made by any script"]
    {
        assert!(compared.stdout.contains(expected), "{}", compared.stdout);
    }
    assert_eq!(in_production(&database, &queue, &["status", "--drift", "--exit-code"]).code, Some(4));
    assert_eq!(
        in_production(&database, &queue, &["status", "--exit-code"]).code,
        Some(0),
        "the journal is current"
    );
    let json = in_production(&database, &queue, &["status", "--drift", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("is JSON");
    assert_eq!(json["drift"][0]["object"], "column deliveries.reason");
    assert_eq!(json["drift"][0]["expected"], "text");
    assert!(json["drift"][0]["found"].is_null(), "{json}");
    let doctor = in_production(&database, &queue, &["doctor"]).stdout;
    assert!(doctor.contains("2 difference(s), the first: column deliveries.reason is missing"), "{doctor}");
}

#[test]
fn an_existing_database_is_adopted_and_never_rebuilt() {
    let (database, queue) = (Database::create(), Queue::create());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let baseline = std::fs::read_to_string(root.join("sql/Baseline.sql")).expect("is there");
    database.query(&baseline);
    let refused = in_production(&database, &queue, &["migrate"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("`app adopt`"), "{}", refused.stderr);
    database.query("ALTER TABLE destinations ALTER COLUMN url DROP NOT NULL");
    let differs = in_production(&database, &queue, &["adopt"]);
    assert_eq!(differs.code, Some(4), "{}", differs.stderr);
    for expected in [
        "nothing was recorded",
        "column destinations.url is `text`, expected `text, not null`",
        "--unverified",
    ] {
        assert!(differs.stderr.contains(expected), "{expected}: {}", differs.stderr);
    }
    database.query("ALTER TABLE destinations ALTER COLUMN url SET NOT NULL");
    let adopted = in_production(&database, &queue, &["adopt"]);
    assert_eq!(
        (adopted.code, adopted.stdout.as_str()),
        (
            Some(0),
            "recorded 1 script(s) without running: the schema is at 0000\nits 7 object(s) are those that the scripts make\n"
        )
    );
    assert_eq!(in_production(&database, &queue, &["adopt"]).code, Some(4));
    assert_eq!(
        in_production(&database, &queue, &["migrate"]).stdout,
        "applied 1 script(s): the schema is at 0001\n"
    );

    let rebuild = |environment: &str, given: &[&str]| {
        let mut command = arguments(production(&database.url, &queue.url), given);
        run(command.env("APP_ENV", environment))
    };
    assert_eq!(rebuild("production", &["rebuild"]).code, Some(2));
    let unmarked = rebuild("development", &["rebuild"]);
    assert_eq!(unmarked.code, Some(2), "{}", unmarked.stderr);
    let name = database.url.rsplit('/').next().and_then(|end| end.split('?').next()).expect("has a name");
    assert!(unmarked.stderr.contains(&format!("`rebuild --confirm {name}`")), "{}", unmarked.stderr);
    assert_eq!(database.query("SELECT count(*) FROM schema_journal"), "2", "it is all there");
    let rebuilt = rebuild("development", &["rebuild", "--confirm", name]);
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.stderr);
    assert_eq!(rebuild("development", &["rebuild"]).code, Some(0), "now it carries the mark");
}

/// An HTTP service that answers one request with 200 and passes the request to the test.
fn destination() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/", listener.local_addr().expect("is bound"));
    let (sender, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"}") {
            let read = stream.read(&mut buffer).expect("is readable");
            request.extend_from_slice(&buffer[..read]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("is writable");
        let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
    });
    (url, received)
}
