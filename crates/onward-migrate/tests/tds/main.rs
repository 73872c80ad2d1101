//! What Onward sends to SQL Server, and how it reads the answers: framing, draining, rollback, `GO`, the lock, line
//! numbers. The conformance list tests the behaviour of a real server.

mod server;

use std::time::Duration;

use onward_migrate::{
    AdoptOptions, Applier, DatabaseUrl, Engine as _, Error, ErrorKind, Event, MigrateOptions, Migrated,
    SchemaState, ScriptFailure, Session, SessionOptions, TransactionEnd, Verification, adopt, migrate,
    status,
};
use onward_script::{CheckOptions, Content, Dialect, Entry, Folder, History, Known, check};
use server::Server;
use tokio_util::sync::CancellationToken;

const BASELINE: &str = "CREATE TABLE orders (id int);";

fn history(texts: &[&str]) -> History {
    let entries = texts.iter().enumerate().map(|(index, text)| {
        let name = if index == 0 { "Baseline.sql".to_owned() } else { format!("Script-{index:04}.sql") };
        Entry { name, content: Content::File((*text).into()) }
    });
    let folder = Folder { path: "sql".to_owned(), entries: entries.collect() };
    let options = CheckOptions { dialect: Dialect::SqlServer, release: false, ..CheckOptions::default() };
    let checked = check(&folder, options, &Known::default());
    checked.history.unwrap_or_else(|| panic!("{:?}", checked.findings))
}

fn options() -> MigrateOptions {
    MigrateOptions {
        to: None,
        wait: Duration::from_secs(60),
        single_transaction: false,
        applier: Applier { host: "test".to_owned(), app_version: "1".to_owned() },
        stop: CancellationToken::new(),
    }
}

async fn connect(server: &Server) -> Session {
    let url: DatabaseUrl = server.url.parse().expect("is an address");
    Session::connect(&url, &SessionOptions::default()).await.expect("connects")
}

async fn run(server: &Server, history: &History, options: &MigrateOptions) -> Result<Migrated, Error> {
    migrate(&mut connect(server).await, history, options, &mut |_| {}).await
}

/// Runs the baseline and one script, which fails; the database stays at the baseline.
async fn fails(script: &str) -> Box<ScriptFailure> {
    let server = Server::start().await;
    let error = run(&server, &history(&[BASELINE, script]), &options()).await.expect_err("fails");
    let journal = server.state().journal.clone().expect("exists");
    assert_eq!(journal.len(), 1, "only the baseline is journalled");
    match error.kind {
        ErrorKind::Script(failure) => failure,
        _ => panic!("is no failure of a script: {error}"),
    }
}

#[tokio::test]
async fn each_script_has_a_transaction_with_its_row() {
    let server = Server::start().await;
    let all = history(&[BASELINE, "SELECT 1;\nGO\nSELECT 2;\nGO 2\n"]);
    let migrated = run(&server, &all, &options()).await.expect("works");
    assert_eq!(migrated, Migrated { from: None, to: 1, scripts: 2 });
    let heard = server.heard();
    let shape: Vec<_> = heard
        .iter()
        .map(|batch| match batch {
            batch if batch.starts_with("RESET") && batch.contains("BEGIN TRANSACTION;") => "begin",
            batch if batch.contains("INSERT INTO [dbo].schema_journal") => {
                assert!(batch.contains("COMMIT TRANSACTION; SELECT -1"), "{batch}");
                "row and commit"
            }
            batch if batch.contains("CREATE TABLE [dbo].schema_journal") => "journal",
            batch if batch.contains("QUOTENAME(SCHEMA_NAME())") => "identity",
            batch if batch.contains("ORDER BY version") => "look",
            batch if batch.contains("sp_getapplock") => "lock",
            batch if batch.contains("sp_releaseapplock") => "unlock",
            batch => batch.as_str(),
        })
        .collect();
    assert_eq!(
        shape,
        [
            "identity",
            "lock",
            "look",
            "journal",
            "begin",
            BASELINE,
            "row and commit",
            "begin",
            "SELECT 1;",
            "SELECT 2;",
            "SELECT 2;",
            "row and commit",
            "unlock",
        ]
    );
    assert_eq!(run(&server, &all, &options()).await.expect("works").scripts, 0);
    assert_eq!(server.heard().len(), 4, "with nothing to do: schema, lock, look, unlock");
    assert_eq!(status(&mut connect(&server).await, &all).await.expect("is read").state, SchemaState::Current);
}

#[tokio::test]
async fn the_whole_journal_is_read() {
    let server = Server::start().await;
    assert!(connect(&server).await.journal().await.expect("is read").is_empty());
    run(&server, &history(&[BASELINE, "SELECT 1;"]), &options()).await.expect("works");
    let entries = connect(&server).await.journal().await.expect("is read");
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (entries[1].row.version, entries[1].host.as_str(), entries[1].app_version.as_str()),
        (1, "test", "1")
    );
    assert_eq!(entries[1].applied_by, "app");
    assert!(entries[1].duration.is_some());
}

#[tokio::test]
async fn an_error_behind_result_sets_is_not_missed() {
    let failure =
        fails("SELECT 1 -- rows 1\nSELECT 2 -- rows 5000\nINSERT x -- error 2627 3: duplicate").await;
    assert_eq!(failure.place, "sql/Script-0001.sql:3:1");
    assert_eq!((failure.server.code.as_str(), failure.server.message.as_str()), ("2627", "duplicate"));
    assert_eq!(failure.outcome, "Script-0001.sql was rolled back as a whole");
}

#[tokio::test]
async fn the_first_of_several_errors_is_reported() {
    let failure = fails("A -- error 1779 1: has a primary key\nB -- error 1750 1: see previous errors").await;
    assert_eq!(failure.server.code, "1779");
}

#[tokio::test]
async fn lines_are_counted_in_the_script_and_not_in_the_batch() {
    let failure =
        fails("SELECT 1;\nGO\n\n/* größer\n*/\n   SELECT nope -- error 207 5: no such column\nGO\nSELECT 3;")
            .await;
    assert_eq!(failure.place, "sql/Script-0001.sql:6:4");
    assert_eq!(failure.server.batch, Some((2, 3)));
    assert_eq!(failure.statement.as_deref(), Some("SELECT nope -- error 207 5: no such column"));
}

#[tokio::test]
async fn a_place_is_the_statement_and_not_the_comment_above_it() {
    let failure =
        fails("SELECT 1;\nGO\n-- why\n/* and\nhow */\n    SELECT nope; -- error 207 1: no such column").await;
    assert_eq!(failure.place, "sql/Script-0001.sql:6:5");
    assert_eq!(failure.statement.as_deref(), Some("SELECT nope; -- error 207 1: no such column"));
    let in_string = fails("INSERT INTO t VALUES ('a\nb') -- error 8152 2: too long").await;
    assert_eq!(in_string.place, "sql/Script-0001.sql:2:1");
}

#[tokio::test]
async fn an_error_inside_a_procedure_counts_in_the_procedure() {
    let called = fails("SELECT 1;\nGO\nEXEC p -- error 8134 40 p: division by zero").await;
    assert_eq!(called.place, "sql/Script-0001.sql:3:1");
    assert_eq!(called.server.context.as_deref(), Some("in p, line 40"));
    let defined =
        fails("SELECT 1;\nGO\nCREATE PROCEDURE [dbo].[p] AS\nSELEC 1 -- error 102 3 p: incorrect syntax")
            .await;
    assert_eq!(defined.place, "sql/Script-0001.sql:4:1");
    assert_eq!(defined.server.context, None);
}

#[tokio::test]
async fn a_script_that_ends_or_opens_a_transaction_fails() {
    let ended = fails("EXEC p -- rollback").await;
    assert!(
        ended.server.end == TransactionEnd::ByScript && ended.outcome.contains("ended the transaction"),
        "{ended}"
    );
    let counted = fails("EXEC p -- error 266 1: Transaction count after EXECUTE indicates a mismatch").await;
    assert!(
        counted.server.end == TransactionEnd::ByScript
            && counted.outcome.contains("before and after that may stay"),
        "{counted}"
    );
    // Neither the build nor the number of the error says that something was committed; the server is asked.
    let hidden = fails("EXEC p -- commit\n-- error 8134 2: Divide by zero error encountered").await;
    assert!(
        hidden.server.end == TransactionEnd::ByScript
            && hidden.outcome.contains("before and after that may stay"),
        "{hidden}"
    );
    let opened = fails("EXEC p -- begin").await;
    assert!(opened.server.message.contains("left 1 transaction(s) open"), "{opened}");
    let silent = fails("EXEC p -- noexec").await;
    assert!(silent.server.message.contains("stopped the session"), "{silent}");
}

#[tokio::test]
async fn a_script_that_acts_as_another_is_journalled_as_the_migrator() {
    for directive in ["", "-- onward: no-transaction\n"] {
        let server = Server::start().await;
        let script = format!("{directive}SELECT 1; -- execute as another");
        run(&server, &history(&[BASELINE, &script]), &options()).await.expect("is reverted");
        let reverts = server.heard().iter().filter(|batch| batch.contains("BEGIN REVERT;")).count();
        assert_eq!(reverts, 1, "{directive}");
    }
    let kept = fails("SELECT 1; -- execute as another with no revert").await;
    assert!(kept.server.message.contains("acting as another user"), "{kept}");
}

#[tokio::test]
async fn a_lost_connection_is_reported_and_the_next_run_goes_on() {
    let server = Server::start().await;
    let all = history(&[BASELINE, "SELECT 1;", "SELECT 2 -- hang up"]);
    let error = run(&server, &all, &options()).await.expect_err("is lost");
    assert!(matches!(error.kind, ErrorKind::Unreachable), "{error}");
    assert!(error.message.starts_with("the connection ended while Script-0002.sql ran"), "{error}");
    let corrected = history(&[BASELINE, "SELECT 1;", "SELECT 2;"]);
    let migrated = run(&server, &corrected, &options()).await.expect("the lock went with the connection");
    assert_eq!(migrated, Migrated { from: Some(1), to: 2, scripts: 1 });
}

#[tokio::test]
async fn a_migration_that_is_stopped_ends_its_batch() {
    let server = Server::start().await;
    let all = history(&[BASELINE, "SELECT 1; -- say nothing"]);
    let options = options();
    let stopping = async {
        server.says_nothing.notified().await;
        options.stop.cancel();
    };
    let (outcome, ()) = tokio::join!(run(&server, &all, &options), stopping);
    let error = outcome.expect_err("is stopped");
    assert!(matches!(error.kind, ErrorKind::Unreachable), "{error}");
    assert!(error.message.ends_with("Script-0001.sql ran: the migration was stopped"), "{error}");
    assert!(error.help.contains("rolled the script back, or has committed it whole"), "{error}");
    let heard = server.heard();
    let [.., attention, last] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(attention == "attention" && last.contains("IF @@TRANCOUNT > 0 ROLLBACK"), "{heard:?}");
    let corrected = history(&[BASELINE, "SELECT 1;"]);
    let migrated =
        run(&server, &corrected, &self::options()).await.expect("the lock went with the connection");
    assert_eq!(migrated, Migrated { from: Some(0), to: 1, scripts: 1 });
}

#[tokio::test]
async fn a_busy_lock_is_waited_for_and_never_forced() {
    let server = Server::start().await;
    let mut holder = connect(&server).await;
    assert_eq!(holder.try_lock().await.expect("works"), Ok(()));
    let impatient = MigrateOptions { wait: Duration::ZERO, ..options() };
    let error = run(&server, &history(&[BASELINE]), &impatient).await.expect_err("is locked");
    assert!(matches!(error.kind, ErrorKind::Locked), "{error}");
    assert!(error.message.contains("a session that this user may not see"), "{error}");

    let mut holder = Some(holder);
    let mut engine = connect(&server).await;
    let mut progress = |event| {
        if matches!(event, Event::Waiting { .. }) {
            holder = None;
        }
    };
    migrate(&mut engine, &history(&[BASELINE]), &options(), &mut progress).await.expect("gets the lock");
    assert!(holder.is_none(), "it waited");
}

#[tokio::test]
async fn a_single_transaction_commits_once() {
    let server = Server::start().await;
    let together = MigrateOptions { single_transaction: true, ..options() };
    let failing = history(&[BASELINE, "SELECT 1;", "SELECT 2 -- error 50000 1: no"]);
    let error = run(&server, &failing, &together).await.expect_err("fails");
    assert!(error.to_string().contains("rolled back Baseline.sql to Script-0002.sql"), "{error}");
    assert_eq!(server.state().journal.as_ref().map(Vec::len), Some(0));
    server.heard();
    run(&server, &history(&[BASELINE, "SELECT 1;", "SELECT 2;"]), &together).await.expect("works");
    assert_eq!(server.heard().iter().filter(|batch| batch.contains("COMMIT")).count(), 1);
    assert_eq!(server.state().journal.as_ref().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_no_transaction_script_is_recorded_before_and_after() {
    let server = Server::start().await;
    let all = history(&[BASELINE, "-- onward: no-transaction\nALTER DATABASE x -- error 5061 2: busy"]);
    let error = run(&server, &all, &options()).await.expect_err("fails");
    assert!(
        error.help.contains("DELETE FROM schema_journal WHERE version = 1 AND state = 'started'"),
        "{error}"
    );
    let states = |server: &Server| -> Vec<String> {
        server.state().journal.iter().flatten().map(|row| row[4].clone()).collect()
    };
    assert_eq!(states(&server), ["applied", "started"]);
    server.state().journal.as_mut().expect("exists").pop();
    let corrected = history(&[BASELINE, "-- onward: no-transaction\nALTER DATABASE x"]);
    run(&server, &corrected, &options()).await.expect("works");
    assert_eq!(states(&server), ["applied", "applied"]);
}

#[tokio::test]
async fn printed_messages_are_shown_and_the_servers_own_are_not() {
    let server = Server::start().await;
    let all =
        history(&[BASELINE, "PRINT 'x' -- print hello\nPRINT 'y' -- print Commit transaction of 50 percent"]);
    let mut messages = Vec::new();
    let mut progress = |event| {
        if let Event::Notice { text } = event {
            messages.push(text);
        }
    };
    migrate(&mut connect(&server).await, &all, &options(), &mut progress).await.expect("works");
    assert_eq!(messages, ["hello", "Commit transaction of 50 percent"]);
}

#[tokio::test]
async fn wrong_credentials_are_reported_as_such() {
    let server = Server::start().await;
    let url: DatabaseUrl = server.url.replace("user=app", "user=none").parse().expect("is an address");
    let error = Session::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
    assert!(matches!(error.kind, ErrorKind::Credentials), "{error}");
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[tokio::test]
async fn a_database_that_fails_over_is_waited_for() {
    let server = Server::start().await;
    let url: DatabaseUrl = server.url.parse().expect("is an address");
    for number in [40_613, 40_197, 49_918] {
        server.state().refusals = vec![number];
        let error = Session::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
        assert!(matches!(error.kind, ErrorKind::Unavailable), "{error}");
        assert!(error.message.contains(&number.to_string()), "{error}");
    }
    server.state().refusals = vec![40_613];
    let patient = SessionOptions { patience: Duration::from_secs(60), ..SessionOptions::default() };
    Session::connect(&url, &patient).await.expect("connects when the failover is over");
    assert!(server.state().refusals.is_empty());
    server.state().refusals = vec![4060];
    let error = Session::connect(&url, &patient).await.err().expect("is refused at once");
    assert!(matches!(error.kind, ErrorKind::Configuration), "{error}");
}

#[tokio::test]
async fn an_authority_that_is_no_certificate_is_named() {
    let empty = std::env::current_exe().expect("is a file").with_file_name("no-certificate");
    std::fs::write(&empty, "hush").expect("is written");
    for (file, reason) in
        [("/nowhere/ca.pem", "cannot be read"), (empty.to_str().expect("is text"), "no certificate")]
    {
        let url = format!("server=127.0.0.1,1;user=app;password=hush;TrustServerCertificateCA={file}");
        let url: DatabaseUrl = url.parse().expect("is an address");
        let error = Session::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
        assert!(matches!(error.kind, ErrorKind::Configuration) && error.message.contains(reason), "{error}");
        assert!(error.message.contains(file) && !error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_database_of_the_servers_own_is_refused() {
    let server = Server::start().await;
    for name in ["master", "MSDB", "model", "tempdb"] {
        server.state().database = Some(name);
        let url: DatabaseUrl = server.url.parse().expect("is an address");
        let error = Session::connect(&url, &SessionOptions::default()).await.err().expect("is refused");
        assert!(matches!(error.kind, ErrorKind::Configuration), "{error}");
        assert!(error.message.contains(name), "{error}");
    }
}

#[tokio::test]
async fn an_adoption_runs_nothing() {
    let server = Server::start().await;
    server.state().journal = Some(Vec::new());
    let all = history(&[BASELINE, "SELECT 1;", "SELECT 2;"]);
    let given = AdoptOptions {
        through: Some(1),
        wait: Duration::from_secs(1),
        applier: Applier { host: "test".to_owned(), app_version: "1".to_owned() },
        verification: Verification::None,
        from: None,
    };
    let empty = adopt(&mut connect(&server).await, &all, &given, &mut |_| {}).await.expect_err("is empty");
    assert!(empty.message.contains("the database is empty"), "{empty}");
    assert!(!server.heard().iter().any(|batch| batch == BASELINE));
}
