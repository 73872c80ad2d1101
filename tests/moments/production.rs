//! Moment 3: `migrate`, then `serve`, which starts only on the right schema.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Database, Queue, Running, Said, arguments, free_address, get, production, run};

fn app(database: &Database, queue: &Queue, given: &[&str]) -> Said {
    run(&mut arguments(production(&database.url, &queue.url), given))
}

#[test]
fn migrate_then_serve() {
    let (database, queue) = (Database::create(), Queue::create());
    let status = |expected: serde_json::Value, exit| {
        let said = app(&database, &queue, &["status", "--json", "--exit-code"]);
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
    assert_eq!(app(&database, &queue, &["history"]).stdout, "nothing was applied\n");
    assert_eq!(app(&database, &queue, &["check"]).code, Some(4));

    let planned = app(&database, &queue, &["migrate", "--plan"]);
    insta::assert_snapshot!("plan", planned.stdout);
    let sql = app(&database, &queue, &["migrate", "--plan", "--sql", "-"]);
    let shown = sql.stdout.split_once("postgres://").expect("names the database").1;
    insta::assert_snapshot!("plan-sql", shown.split_once('\n').expect("has lines").1);
    let page = app(&database, &queue, &["migrate", "--plan", "--html", "-"]);
    let shown = page.stdout.split_once("<dt>Scripts to run").expect("is the page").1;
    insta::assert_snapshot!("plan-html", shown);
    assert!(page.stdout.contains("<dd>postgres://app@"), "the address without its password: {}", page.stdout);
    assert_eq!(app(&database, &queue, &["migrate", "--sql", "plan.sql"]).code, Some(2), "without --plan");
    let nowhere = app(&database, &queue, &["migrate", "--plan", "--sql", "/nowhere/plan.sql"]);
    assert!(
        nowhere.code == Some(1) && nowhere.stderr.contains("/nowhere/plan.sql cannot be written"),
        "{nowhere:?}"
    );
    assert_eq!(database.query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");

    let migrated = app(&database, &queue, &["migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    assert_eq!(migrated.stdout, "applied 2 script(s): the schema is at 0001\n");
    let expected = serde_json::json!({
        "applied": 1, "divergences": [], "floor": 0, "latest": 1, "state": "current", "pending": [],
        "help": "there is nothing to do",
    });
    status(expected, 0);
    let history = app(&database, &queue, &["history"]);
    let lines: Vec<_> = history.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", history.stdout);
    for (line, file) in lines.iter().zip(["Baseline.sql", "Script-0001.sql"]) {
        assert!(
            line.contains(file) && line.contains(" ms  by app from ") && line.contains("version 0.1.0"),
            "{line}"
        );
    }
    let history: serde_json::Value =
        serde_json::from_str(&app(&database, &queue, &["history", "--json"]).stdout).expect("is JSON");
    assert_eq!(
        (&history[1]["version"], &history[1]["title"]),
        (&1.into(), &"What became of each delivery".into())
    );
    assert_eq!(app(&database, &queue, &["check"]).code, Some(0));
    assert_eq!(app(&database, &queue, &["migrate"]).stdout, "nothing to do: the schema is at 0001\n");

    let (url, received) = destination();
    database.query(&format!("INSERT INTO destinations (name, url) VALUES ('shop', '{url}')"));
    let mut serving = Running::start(&mut arguments(production(&database.url, &queue.url), ["serve"]));
    serving.wait_for("serving");
    let body = r#"{"destination": "shop", "body": {"order": 7}}"#;
    let sent = app(&database, &queue, &["queue", "send", body]);
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
    assert_eq!(app(&database, &queue, &["migrate"]).code, Some(0));
    let compared = app(&database, &queue, &["status", "--drift", "--exit-code"]);
    assert_eq!(compared.code, Some(0), "{}", compared.stdout);
    assert!(compared.stdout.contains("drift    none: 18 object(s)"), "{}", compared.stdout);

    database.query("CREATE INDEX by_hand ON deliveries (status); ALTER TABLE deliveries DROP COLUMN reason");
    let compared = app(&database, &queue, &["status", "--drift"]);
    assert_eq!(compared.code, Some(0));
    for expected in
        ["drift    column deliveries.reason is missing", "drift    index by_hand is not made by any script"]
    {
        assert!(compared.stdout.contains(expected), "{}", compared.stdout);
    }
    assert_eq!(app(&database, &queue, &["status", "--drift", "--exit-code"]).code, Some(4));
    assert_eq!(app(&database, &queue, &["status", "--exit-code"]).code, Some(0), "the journal is current");
    let json = app(&database, &queue, &["status", "--drift", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("is JSON");
    assert_eq!(json["drift"][0]["object"], "column deliveries.reason");
    assert_eq!(json["drift"][0]["expected"], "text");
    assert!(json["drift"][0]["found"].is_null(), "{json}");
    let doctor = app(&database, &queue, &["doctor"]).stdout;
    assert!(doctor.contains("2 difference(s), the first: column deliveries.reason is missing"), "{doctor}");
}

#[test]
fn an_existing_database_is_adopted_and_never_rebuilt() {
    let (database, queue) = (Database::create(), Queue::create());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let baseline = std::fs::read_to_string(root.join("sql/Baseline.sql")).expect("is there");
    database.query(&baseline);
    let refused = app(&database, &queue, &["migrate"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("`app adopt`"), "{}", refused.stderr);
    database.query("ALTER TABLE destinations ALTER COLUMN url DROP NOT NULL");
    let differs = app(&database, &queue, &["adopt"]);
    assert_eq!(differs.code, Some(4), "{}", differs.stderr);
    for expected in [
        "nothing was recorded",
        "column destinations.url is `text`, expected `text, not null`",
        "--unverified",
    ] {
        assert!(differs.stderr.contains(expected), "{expected}: {}", differs.stderr);
    }
    database.query("ALTER TABLE destinations ALTER COLUMN url SET NOT NULL");
    let adopted = app(&database, &queue, &["adopt"]);
    assert_eq!(
        (adopted.code, adopted.stdout.as_str()),
        (
            Some(0),
            "recorded 1 script(s) without running: the schema is at 0000\nits 7 object(s) are those that the scripts make\n"
        )
    );
    assert_eq!(app(&database, &queue, &["adopt"]).code, Some(4));
    assert_eq!(app(&database, &queue, &["migrate"]).stdout, "applied 1 script(s): the schema is at 0001\n");

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

/// A role that may work with the app's rows and read the journal, and nothing else.
#[test]
fn serve_needs_no_right_to_change_the_schema() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(app(&database, &queue, &["migrate"]).code, Some(0));
    let role = format!("serve_{}", std::process::id());
    database.query(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON schema_journal, destinations TO {role}; \
         GRANT SELECT, INSERT, UPDATE ON deliveries TO {role}"
    ));
    let (_, host) = database.url.split_once('@').expect("has a host");
    let narrow = format!("postgres://{role}:x@{host}");
    let mut serving = Running::start(&mut arguments(production(&narrow, &queue.url), ["serve"]));
    serving.wait_for("serving");
    let sent = app(&database, &queue, &["queue", "send", r#"{"destination": "nowhere", "body": 1}"#]);
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
    assert_eq!(app(&database, &queue, &["migrate"]).code, Some(0));
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
    let refused = app(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    insta::assert_snapshot!("refused-empty", refused.stderr);

    app(&database, &queue, &["migrate", "--to", "0"]);
    let refused = app(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    insta::assert_snapshot!("refused-behind", refused.stderr);
    assert_eq!(database.query("SELECT count(*) FROM schema_journal"), "1", "serve upgrades nothing");
}

#[test]
fn serve_refuses_an_unversioned_and_a_diverged_schema() {
    let (database, queue) = (Database::create(), Queue::create());
    database.query("CREATE TABLE somebody_elses (id bigint)");
    for command in ["serve", "migrate"] {
        let refused = app(&database, &queue, &[command]);
        assert_eq!(refused.code, Some(4));
        assert!(refused.stderr.contains("the database has tables and no journal"), "{}", refused.stderr);
    }

    let database = Database::create();
    app(&database, &queue, &["migrate"]);
    database.query("UPDATE schema_journal SET sha256 = repeat('0', 64) WHERE version = 1");
    for command in ["serve", "migrate"] {
        let refused = app(&database, &queue, &[command]);
        assert_eq!(refused.code, Some(4));
        let why = "Script-0001.sql was applied with another text than this binary embeds";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn an_older_binary_serves_until_the_floor_rises_above_it() {
    let (database, queue) = (Database::create(), Queue::create());
    app(&database, &queue, &["migrate"]);
    let newer = "INSERT INTO schema_journal SELECT 2, 'Script_0002', applied_on, checksum, sha256, state, \
                 0, 1, applied_by, host, app_version FROM schema_journal WHERE version = 1";
    database.query(newer);
    let mut serving = Running::start(&mut arguments(production(&database.url, &queue.url), ["serve"]));
    serving.wait_for("serving");
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0));

    database.query("UPDATE schema_journal SET floor = 2 WHERE version = 2");
    let refused = app(&database, &queue, &["serve"]);
    assert_eq!(refused.code, Some(4));
    assert!(refused.stderr.contains("needs a binary that knows 0002"), "{}", refused.stderr);
}

#[test]
fn a_migration_that_is_stopped_leaves_nothing_on_the_server() {
    let (database, queue) = (Database::create(), Queue::create());
    // Another session makes the table of the baseline and does not commit, so the migration waits for the outcome.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let _other = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.batch_execute("BEGIN; CREATE TABLE destinations (id int)").await.expect("works");
        client
    });
    for signal in ["-TERM", "-INT"] {
        let mut migrating =
            Running::start(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
        migrating.wait_for("Baseline.sql");
        migrating.signal(signal);
        let (status, said) = migrating.end();
        assert_eq!(status.code(), Some(130), "{said}");
        assert!(said.contains("Baseline.sql was rolled back as a whole"), "{said}");
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'app migrate%' \
                    AND state = 'active' AND datname = current_database()";
        assert_eq!(database.query(left), "0", "{said}");
    }
}

/// Another session may hold a lock on the journal for as long as it likes.
#[test]
fn a_migration_that_waits_for_the_journal_hears_the_stop() {
    let (database, queue) = (Database::create(), Queue::create());
    assert_eq!(run(&mut arguments(production(&database.url, &queue.url), ["migrate"])).code, Some(0));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let _other = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client
            .batch_execute("BEGIN; LOCK TABLE schema_journal IN ACCESS EXCLUSIVE MODE")
            .await
            .expect("works");
        client
    });
    let migrating = Running::start(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'app migrate%' AND wait_event_type = 'Lock' \
                 AND datname = current_database()";
    while database.query(waits) != "1" {}
    migrating.signal("-TERM");
    let (status, said) = migrating.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("stopped before the first script"), "{said}");
}

/// A proxy without a server behind it accepts connections and says nothing.
#[test]
fn a_request_to_stop_ends_a_start_that_waits_for_the_database() {
    let queue = Queue::create();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("postgres://nobody:x@{}/app", silent.local_addr().expect("is bound"));
    for (command, code) in [("serve", 0), ("migrate", 130)] {
        let starting = Running::start(&mut arguments(production(&url, &queue.url), [command]));
        let (_connected, _) = silent.accept().expect("the app connects");
        starting.signal("-TERM");
        let (status, said) = starting.end();
        assert_eq!(status.code(), Some(code), "{command}: {said}");
    }
}

/// A server that answers each request to a queue by its text, and its URL.
fn answering(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/000000000000/deliveries", listener.local_addr().expect("is bound"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("somebody connects"), answer.clone());
            std::thread::spawn(move || {
                let mut request = vec![0; 8192];
                let read = stream.read(&mut request).expect("is readable");
                let (status, body) = answer(&String::from_utf8_lossy(&request[..read]));
                let head = format!(
                    "HTTP/1.1 {status} Answer\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                // A client that has ended meanwhile takes no answer.
                let _ = stream.write_all(head.as_bytes());
            });
        }
    });
    url
}

fn refusal(kind: &str) -> (u16, String) {
    (400, format!(r#"{{"__type":"{kind}","message":"refused"}}"#))
}

/// A role that may receive but not delete would handle each message again and again.
#[test]
fn a_worker_does_not_start_on_a_queue_that_it_may_not_work() {
    let database = Database::create();
    let migrated = run(&mut arguments(production(&database.url, "http://127.0.0.1:1/0/x"), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    for (call, said) in [
        ("DeleteMessage", "allow `sqs:DeleteMessage` on this queue"),
        ("SendMessage", "allow `sqs:SendMessage` on its dead-letter queue"),
        ("GetQueueUrl", "allow `sqs:GetQueueUrl` on its dead-letter queue"),
        ("GetQueueAttributes", "allow `sqs:GetQueueAttributes` on this queue"),
    ] {
        let url = answering(move |request| {
            let request = request.to_lowercase();
            let is = |call: &str| request.contains(&format!("amazonsqs.{}\r", call.to_lowercase()));
            let policy = r#"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:0:deliveries-dead\",\"maxReceiveCount\":5}"#;
            match () {
                () if is(call) => refusal("com.amazon.coral.service#AccessDeniedException"),
                () if is("GetQueueAttributes") => {
                    (200, format!(r#"{{"Attributes":{{"RedrivePolicy":"{policy}"}}}}"#))
                }
                () if is("GetQueueUrl") => {
                    let host =
                        request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                    (200, format!(r#"{{"QueueUrl":"http://{host}/0/deliveries-dead"}}"#))
                }
                () => refusal("com.amazonaws.sqs#InvalidParameterValue"),
            }
        });
        let refused = run(&mut arguments(production(&database.url, &url), ["serve"]));
        assert_eq!(refused.code, Some(5), "{call}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{call}: {}", refused.stderr);
    }
}

/// A deployment waits for it, and goes on when the outage is over.
#[test]
fn a_worker_that_starts_in_an_outage_of_its_queue_waits_and_is_not_ready() {
    let database = Database::create();
    let (is_away, (polled, polls)) = (Arc::new(AtomicBool::new(true)), std::sync::mpsc::channel());
    let away = is_away.clone();
    let url = answering(move |request| match request.contains("ReceiveMessage") {
        true if away.load(Ordering::Relaxed) => {
            let _ = polled.send(());
            (503, r#"{"__type":"com.amazonaws.sqs#ServiceUnavailable","message":"away"}"#.to_owned())
        }
        true => {
            // A long poll of an empty queue.
            std::thread::park_timeout(Duration::from_secs(1));
            (200, "{}".to_owned())
        }
        false => refusal("com.amazonaws.sqs#InvalidParameterValue"),
    });
    assert_eq!(run(&mut arguments(production(&database.url, &url), ["migrate"])).code, Some(0));
    let address = free_address();
    let mut serve = arguments(production(&database.url, &url), ["serve"]);
    let mut serving = Running::start(serve.env("HTTP_ADDR", &address));
    serving.wait_for("the queue cannot be read");
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("polls fail"), "{ready}");
    assert!(polls.iter().take(2).count() == 2, "it polls again");
    is_away.store(false, Ordering::Relaxed);
    serving.wait_for("the queue can be read again");
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0));
}

/// As a sidecar or an operator rotates them.
#[test]
fn credentials_that_are_rotated_in_their_file_are_read_again() {
    let database = Database::create();
    let (sender, keys) = std::sync::mpsc::channel();
    let url = answering(move |request| {
        let key = request.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
        let _ = sender.send(key.unwrap_or_default().to_owned());
        if request.contains("ReceiveMessage") {
            // A long poll of an empty queue.
            std::thread::park_timeout(Duration::from_secs(1));
        }
        (200, "{}".to_owned())
    });
    let file = tempfile::NamedTempFile::new().expect("is made");
    let write = |key: &str| {
        let profile = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n");
        std::fs::write(file.path(), profile).expect("is written");
    };
    let app = |command: &str| {
        let mut app = arguments(production(&database.url, &url), [command]);
        app.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        app.env("AWS_SHARED_CREDENTIALS_FILE", file.path()).env("HTTP_ADDR", "127.0.0.1:0");
        app
    };
    assert_eq!(run(&mut app("migrate")).code, Some(0));
    write("BEFORE");
    let _serving = Running::start(&mut app("serve"));
    let deadline = Instant::now() + Duration::from_secs(150);
    let until = |key: &str| {
        let left = || deadline.saturating_duration_since(Instant::now());
        while keys.recv_timeout(left()).expect("the worker polls with the new key in time") != key {}
    };
    until("BEFORE");
    write("AFTER");
    until("AFTER");
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
