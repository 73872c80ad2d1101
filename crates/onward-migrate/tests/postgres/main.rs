//! The behaviour of PostgreSQL alone, and the look of its failures; `conformance` has what holds for every database. Each
//! test has a database of its own on a server that it starts itself.

mod drift;
mod place;
mod takeover;
mod tls;
mod together;
mod world;

use std::time::Duration;

use onward_migrate::{
    DatabaseUrl, Engine as _, Error, ErrorKind, Event, MigrateOptions, Postgres, PostgresUrl, SchemaState,
    Session, SessionOptions, migrate, status,
};
use onward_script::{Bundle, Digest, History};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::world::{BASELINE, Database, connect_to, history, options, with_role};

/// A proxy without a server behind it accepts connections and says nothing.
#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("is bound");
    let url: PostgresUrl =
        format!("postgres://nobody:x@{address}/app?connect_timeout=1").parse().expect("is an address");
    let refused = Postgres::connect(&url, &SessionOptions::default()).await;
    let error = refused.err().expect("nobody answers");
    assert!(matches!(error.kind, ErrorKind::Unreachable), "{error}");
    assert!(error.message.contains("does not answer within 2s"), "{error}");
}

#[tokio::test]
async fn a_migration_that_is_stopped_cancels_the_running_statement() {
    let database = Database::create().await;
    // Only a cancel ends it.
    let all = history(&[BASELINE, "INSERT INTO orders VALUES (1); SELECT pg_sleep(3600);", "SELECT 1;"]);
    let first = options();
    let mut progress = |event| {
        if matches!(event, Event::Applied { file, .. } if file == "Baseline.sql") {
            first.stop.cancel();
        }
    };
    let between = migrate(&mut database.connect().await, &all, &first, &mut progress).await;
    let between = between.expect_err("is stopped");
    let ErrorKind::Interrupted = between.kind else { panic!("{between}") };
    assert!(between.message.contains("stopped before Script-0001.sql"), "{between}");
    for single_transaction in [false, true] {
        let options = MigrateOptions { single_transaction, ..options() };
        // A cancel that comes earlier ends the statement before it.
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        let stopping = async {
            while database.query(sleeps).await == "0" {}
            options.stop.cancel();
        };
        let (within, ()) = tokio::join!(database.migrate(&all, &options), stopping);
        let within = within.expect_err("is stopped");
        let text = within.to_string();
        assert!(text.contains("sql/Script-0001.sql:1:32") && text.contains("(57014)"), "{text}");
        assert!(text.contains("the script is not at fault: the migration was stopped"), "{text}");
        assert_eq!(database.query("SELECT count(*) FROM orders").await, "0");
    }

    let mut holder = database.connect().await;
    assert_eq!(holder.try_lock().await.expect("works"), Ok(()));
    let waiting = options();
    let mut progress = |event| {
        if matches!(event, Event::Waiting { .. }) {
            waiting.stop.cancel();
        }
    };
    let error =
        migrate(&mut database.connect().await, &all, &waiting, &mut progress).await.expect_err("is stopped");
    assert!(error.message.contains("stopped while another migrator held the lock"), "{error}");
}

#[tokio::test]
async fn a_script_that_fails_leaves_nothing_and_says_where() {
    let cases = [
        (
            "unknown-column",
            "INSERT INTO orders VALUES (1);\n\n-- größer\nSELECT 'Zoë 🦀', id, nope\n  FROM orders;",
        ),
        ("unique", "INSERT INTO orders VALUES (1);\nINSERT INTO orders VALUES (2), (1);\nSELECT 3;"),
        (
            "function",
            "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  PERFORM 1 / 0;\nEND $$;\nSELECT f();",
        ),
        (
            "deferred",
            "CREATE TABLE c (o bigint REFERENCES orders DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (9);",
        ),
        ("journal", "DROP TABLE schema_journal;"),
        ("hint", "SELECT lenght('x');"),
    ];
    for (name, script) in cases {
        let database = Database::create().await;
        let script = format!("-- onward: contract\n{script}");
        let all = history(&[BASELINE, &script, "SELECT 1;"]);
        let error = database.migrate(&all, &options()).await.expect_err("fails");
        assert!(matches!(error.kind, ErrorKind::Script(_)), "{error:?}");
        insta::assert_snapshot!(name, error);
        let status = database.status(&all).await;
        assert_eq!((status.state, status.applied), (SchemaState::Behind, Some(0)), "{name}");
        assert_eq!(database.query("SELECT count(*) FROM orders").await, "0", "{name}");
    }
}

#[tokio::test]
async fn what_a_script_sets_in_its_session_ends_with_it() {
    let database = Database::create().await;
    let all = history(&[
        "SELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.orders (id bigint);",
        "INSERT INTO orders VALUES (1);\nSET statement_timeout = 1;",
        "SELECT pg_sleep(0.05);\nCREATE ROLE narrow_role_of_test;\nSET ROLE narrow_role_of_test;",
        "RESET ROLE;\nDROP ROLE narrow_role_of_test;",
    ]);
    database.migrate(&all, &options()).await.expect("works");
    assert_eq!(database.status(&all).await.state, SchemaState::Current);
}

#[tokio::test]
async fn a_busy_lock_is_waited_for_and_names_its_holder() {
    let database = Database::create().await;
    let url: PostgresUrl = database.url.parse().expect("is an address");
    let named = SessionOptions { application_name: "the other one".to_owned(), ..SessionOptions::default() };
    let mut holder = Postgres::connect(&url, &named).await.expect("connects");
    let locked = onward_migrate::Engine::try_lock(&mut holder).await.expect("works");
    assert_eq!(locked, Ok(()));

    let all = history(&[BASELINE]);
    let impatient = MigrateOptions { wait: Duration::ZERO, ..options() };
    let error = database.migrate(&all, &impatient).await.expect_err("is locked");
    assert!(
        matches!(error.kind, ErrorKind::Locked) && error.message.contains("the other one (pid "),
        "{error}"
    );

    // The holder's connection ends as soon as the migrator waits, as after a kill.
    let mut holder = Some(holder);
    let mut engine = database.connect().await;
    let mut waited = false;
    let mut progress = |event| {
        if matches!(event, Event::Waiting { .. }) {
            (waited, holder) = (true, None);
        }
    };
    migrate(&mut engine, &all, &options(), &mut progress).await.expect("gets the lock");
    assert!(waited);
}

#[tokio::test]
async fn a_no_transaction_script_runs_alone_and_says_when_it_is_half_done() {
    let database = Database::create().await;
    let index = "-- onward: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY orders_note ON orders (note);";
    let all = history(&[BASELINE, "INSERT INTO orders VALUES (1, 'a'), (2, 'a');", index, "SELECT 1;"]);
    let error = database.migrate(&all, &options()).await.expect_err("is not unique");
    insta::assert_snapshot!("no-transaction", error);

    let status = database.status(&all).await;
    assert_eq!(status.state, SchemaState::Diverged);
    insta::assert_snapshot!("half-done", Error::state(&status));
    database.query("DROP INDEX orders_note; DELETE FROM orders WHERE id = 2").await;
    database.query("DELETE FROM schema_journal WHERE version = 2 AND state = 'started'").await;
    database.migrate(&all, &options()).await.expect("works");
    assert_eq!(database.status(&all).await.state, SchemaState::Current);
    assert_eq!(database.query("SELECT state FROM schema_journal WHERE version = 2").await, "applied");
}

/// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>
#[tokio::test]
async fn an_invalid_index_is_named_and_never_journalled() {
    let database = Database::create().await;
    let baseline = "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (1);";
    let index =
        "-- onward: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS orders_id ON orders (id);";
    let all = history(&[baseline, index]);
    let error = database.migrate(&all, &options()).await.expect_err("has duplicates");
    assert!(error.to_string().contains("run `DROP INDEX CONCURRENTLY public.orders_id`"), "{error}");

    let begins_again = "DELETE FROM schema_journal WHERE version = 1 AND state = 'started'";
    database.query(&format!("DELETE FROM orders; {begins_again}")).await;
    let error = database.migrate(&all, &options()).await.expect_err("the index is there and invalid");
    assert!(error.to_string().contains("public.orders_id is invalid: no query uses it"), "{error}");
    let state = "SELECT state FROM schema_journal WHERE version = 1";
    assert_eq!(database.query(state).await, "started");
    let info = database.connect().await.server_info().await.expect("is read");
    assert_eq!(info.invalid_indexes, ["public.orders_id"]);

    database.query("DROP INDEX orders_id").await;
    database.query(begins_again).await;
    database.migrate(&all, &options()).await.expect("the index is made");
    assert_eq!(database.query(state).await, "applied");
    let info = database.connect().await.server_info().await.expect("is read");
    assert!(info.invalid_indexes.is_empty());
}

#[tokio::test]
async fn an_error_that_has_a_remedy_says_it() {
    for (script, code, remedy) in [
        ("DO $$ BEGIN COMMIT; END $$;", "2D000", "no-transaction"),
        ("ALTER TYPE mood ADD VALUE 'calm'; SELECT 'calm'::text::mood;", "55P04", "in the next script"),
        (
            "INSERT INTO notes VALUES (1, 9); ALTER TABLE notes ADD COLUMN at date;",
            "55006",
            "move the ALTER TABLE into the next script",
        ),
        ("SET newer_setting = 0;", "42704", "a dump of a newer server"),
        ("CREATE SCHEMA public;", "42P06", "remove `CREATE SCHEMA public`"),
        ("SET transaction_read_only = on; CREATE TABLE t (a int);", "25006", "name the primary server"),
    ] {
        let database = Database::create().await;
        let baseline = "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE notes (id int PRIMARY KEY, other int REFERENCES notes \
                        DEFERRABLE INITIALLY DEFERRED);";
        let error = database.migrate(&history(&[baseline, script]), &options()).await.expect_err(script);
        let ErrorKind::Script(failure) = &error.kind else { panic!("{script}: {error}") };
        assert_eq!(failure.server.code, code, "{script}: {error}");
        assert!(error.help.contains(remedy), "{script}: {}", error.help);
    }
}

#[tokio::test]
async fn reading_the_schema_needs_only_the_right_to_read() {
    let database = Database::create().await;
    let all = history(&[BASELINE]);
    database.migrate(&all, &options()).await.expect("works");
    let role = format!("reader_{}", std::process::id());
    database
        .query(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON schema_journal TO {role}"
        ))
        .await;
    let (_, host) = database.url.split_once('@').expect("has a host");
    let url: PostgresUrl = format!("postgres://{role}:x@{host}").parse().expect("is an address");
    let mut engine = Postgres::connect(&url, &SessionOptions::default()).await.expect("connects");
    assert_eq!(status(&mut engine, &all).await.expect("may read").state, SchemaState::Current);
    let error =
        migrate(&mut engine, &history(&[BASELINE, "CREATE TABLE t ();"]), &options(), &mut |_| {}).await;
    assert!(error.expect_err("may not").to_string().contains("permission denied"));
    drop(engine);
    database.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn notices_and_progress_are_reported_in_order() {
    let database = Database::create().await;
    let notice = "-- onward: title Says something\nDO $$ BEGIN RAISE NOTICE 'hello'; END $$;";
    let all = history(&[BASELINE, notice]);
    let mut reported = Vec::new();
    let mut progress = |event| {
        reported.push(match event {
            Event::Planned { scripts } => format!("planned {scripts}"),
            Event::Started { file, title } => format!("started {file} {}", title.unwrap_or_default()),
            Event::Notice { text } => text,
            Event::Applied { file, .. } => format!("applied {file}"),
            other => format!("{other:?}"),
        });
    };
    migrate(&mut database.connect().await, &all, &options(), &mut progress).await.expect("works");
    assert_eq!(
        reported,
        [
            "planned 2",
            "started Baseline.sql ",
            "applied Baseline.sql",
            "started Script-0001.sql Says something",
            "NOTICE: hello",
            "applied Script-0001.sql",
        ]
    );
}

/// A server that answers the first connections with an error, and hands on the others.
async fn refusing_at_first(code: &'static str, times: u32, database: &Database) -> DatabaseUrl {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let (start, rest) = database.url.split_once("127.0.0.1:").expect("is on a loopback port");
    let (port, name) = rest.split_once('/').expect("names a database");
    let real = format!("127.0.0.1:{port}");
    let address = listener.local_addr().expect("is bound");
    let url = format!("{start}{address}/{name}").parse().expect("is an address");
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut client, _) = listener.accept().await.expect("is open");
            if connection < times {
                let mut asked = [0; 1024];
                let _length = client.read(&mut asked).await.expect("asks");
                let fields = format!("SFATAL\0C{code}\0Mthe database system is starting up\0\0");
                let length = u32::try_from(fields.len() + 4).expect("is short").to_be_bytes();
                client.write_all(&[b"E", &length[..], fields.as_bytes()].concat()).await.expect("is read");
                continue;
            }
            let mut server = tokio::net::TcpStream::connect(&real).await.expect("runs");
            tokio::spawn(async move {
                // The end of either side ends the connection.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_starts_is_waited_for() {
    let database = Database::create().await;
    let patient = SessionOptions { patience: Duration::from_secs(60), ..SessionOptions::default() };
    let url = refusing_at_first("57P03", 2, &database).await;
    let error = Session::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
    assert!(matches!(error.kind, ErrorKind::Unavailable), "{error}");
    Session::connect(&url, &patient).await.expect("connects when it has started");

    let url = refusing_at_first("28000", 1, &database).await;
    let error = Session::connect(&url, &patient).await.err().expect("is refused at once");
    assert!(matches!(error.kind, ErrorKind::Credentials), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_the_apps_own_is_refused() {
    for (url, said) in [
        ("postgres://app:x@127.0.0.1:1", "names no database"),
        ("host=127.0.0.1 port=1 user=app", "names no database"),
        ("postgres://app:x@127.0.0.1:1/template1", "leads to `template1`"),
    ] {
        let url: PostgresUrl = url.parse().expect("is an address");
        let error = Postgres::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
        assert!(matches!(error.kind, ErrorKind::Configuration), "{error}");
        assert!(error.message.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_script_leaves_nothing_for_the_next_one() {
    let things = "CREATE TABLE things (id int); INSERT INTO things VALUES (1);";
    let temporary = "CREATE TEMP TABLE things AS TABLE things; PREPARE p AS SELECT 1; LISTEN news; SELECT nextval('numbers');";
    let next = "ALTER TABLE things ADD COLUMN note text;";
    for single_transaction in [false, true] {
        let database = Database::create().await;
        let baseline = format!("{things} CREATE SEQUENCE numbers;");
        let all = history(&[&baseline, temporary, next, "PREPARE p AS SELECT 2; DEALLOCATE p;"]);
        let options = MigrateOptions { single_transaction, ..options() };
        database.migrate(&all, &options).await.expect("works");
        let columns = "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns \
                       WHERE table_schema = 'public' AND table_name = 'things'";
        assert_eq!(database.query(columns).await, "id,note", "single transaction: {single_transaction}");
    }
}

#[tokio::test]
async fn a_text_means_the_same_whatever_a_role_has_set() {
    let database = Database::create().await;
    let (url, role) = with_role(&database, "settings").await;
    for setting in [
        "standard_conforming_strings = off",
        "transform_null_equals = on",
        "datestyle = 'SQL, DMY'",
        "intervalstyle = sql_standard",
        "timezone = 'Asia/Tokyo'",
        "lock_timeout = '7s'",
        "default_transaction_isolation = serializable",
    ] {
        database.query(&format!("ALTER ROLE {role} SET {setting}")).await;
    }
    let read = "CREATE TABLE read AS SELECT 'a\\b' AS text, (NULL = NULL) IS NULL AS is_null, '01/02/2020'::date AS day, \
                '2020-01-01 00:00'::timestamptz = '2020-01-01 00:00+00' AS is_utc, current_setting('lock_timeout') AS wait, \
                current_setting('transaction_isolation') AS isolation;";
    let all =
        history(&["CREATE TABLE t ();", "SET timezone = 'Europe/Paris'; SET datestyle = 'SQL, DMY';", read]);
    migrate(&mut connect_to(&url).await, &all, &options(), &mut |_| {}).await.expect("works");
    let found = database.query("SELECT text, is_null, day::text, is_utc, wait, isolation FROM read").await;
    assert_eq!(found, "a\\b|t|2020-01-02|t|7s|read committed");
}

/// The build refuses a COMMIT; this text reaches the server as one would that deceived its rules.
#[tokio::test]
async fn a_rollback_is_only_said_where_the_server_says_it() {
    let database = Database::create().await;
    let ends = "CREATE TABLE u (id bigint);\nCOMMIT;\nCREATE TABLE v (id bigint);\nSELECT 1/0;";
    let error = database.migrate(&unchecked(BASELINE, ends), &options()).await.expect_err("fails");
    let ErrorKind::Script(failure) = &error.kind else { panic!("{error}") };
    assert!(failure.outcome.contains("ended the transaction that it ran in"), "{error}");
    assert!(!error.help.contains("nothing is lost"), "{error}");
    assert_eq!(database.query("SELECT count(*) FROM u").await, "0", "it stayed");

    let fails = "CREATE TABLE w (id bigint); SELECT 1/0;";
    let error = database.migrate(&unchecked(BASELINE, fails), &options()).await.expect_err("fails");
    let ErrorKind::Script(failure) = &error.kind else { panic!("{error}") };
    assert_eq!(failure.outcome, "Script-0001.sql was rolled back as a whole");
    assert_eq!(database.query("SELECT to_regclass('w') IS NULL").await, "t");
}

/// A history with a script that no check has seen.
fn unchecked(baseline: &str, script: &str) -> History {
    let digest = Digest::of(script.as_bytes());
    let checked = Bundle::write(&history(&[baseline, "SELECT 1;"]));
    let lines: Vec<_> = checked
        .manifest
        .lines()
        .map(|line| match line.starts_with("Script-0001.sql ") {
            true => format!("Script-0001.sql {digest} {} ---- \t", script.len()),
            false => line.to_owned(),
        })
        .collect();
    let scripts = [baseline.as_bytes(), script.as_bytes()].concat();
    Bundle::read((lines.join("\n") + "\n").leak(), scripts.leak(), "").expect("is readable")
}
