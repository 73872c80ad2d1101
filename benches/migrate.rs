//! Many scripts from empty, and nothing to do with many, against `psql -1 -f` of the same texts.
//! `cargo bench --bench migrate -- [SCRIPTS]`, 1,000 by default; psql is looked for on the PATH.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::PrivatePostgres;
use onward_migrate::{DatabaseUrl, Identity, MigrateOptions, Session, SessionOptions, migrate};
use onward_script::{Content, Entry, Folder, History, Known, Options, check};
use tokio_postgres::NoTls;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    let texts: Vec<_> = (0..=count).map(script).collect();
    let all = history(&texts);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-migrate.sql");
    std::fs::write(&folder, texts.concat()).expect("is writable");

    let (mut psql, mut each, mut together, mut nothing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let url = fresh(&admin, &server).await;
        let begun = Instant::now();
        let mut command = Command::new("psql");
        command.args(["-q", "-1", "-X", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&folder).arg("-d").arg(&url);
        assert!(command.stdout(Stdio::null()).status().expect("psql is installed").success());
        psql.push(begun.elapsed());
        let url = fresh(&admin, &server).await;
        each.push(apply(&url, &all, false).await);
        nothing.push(apply(&url, &all, false).await);
        let url = fresh(&admin, &server).await;
        together.push(apply(&url, &all, true).await);
    }
    let mut out = std::io::stdout();
    let floor = best(&psql);
    for (what, times) in [
        ("psql -1 -f, all in one transaction", &psql),
        ("migrate, a transaction a script", &each),
        ("migrate --single-transaction", &together),
        ("migrate, nothing to do", &nothing),
    ] {
        let best = best(times);
        let ratio = best.as_secs_f64() / floor.as_secs_f64();
        writeln!(out, "{count} scripts  {what:40} {:8.1} ms  {ratio:5.2}", best.as_secs_f64() * 1e3)
            .expect("is open");
    }
}

fn best(times: &[Duration]) -> Duration {
    times.iter().min().copied().unwrap_or_default()
}

async fn fresh(admin: &tokio_postgres::Client, server: &PrivatePostgres) -> String {
    admin.batch_execute("DROP DATABASE IF EXISTS bench_migrate WITH (FORCE)").await.expect("is dropped");
    admin.batch_execute("CREATE DATABASE bench_migrate").await.expect("is created");
    server.url("bench_migrate")
}

async fn apply(url: &str, all: &History, single_transaction: bool) -> Duration {
    let url: DatabaseUrl = url.parse().expect("is an address");
    let options = MigrateOptions {
        to: None,
        wait: Duration::from_secs(1),
        single_transaction,
        identity: Identity::default(),
    };
    let begun = Instant::now();
    let mut session = Session::connect(&url, &SessionOptions::default()).await.expect("connects");
    migrate(&mut session, all, &options, &mut |_| {}).await.expect("works");
    begun.elapsed()
}

/// One table and one index each.
fn script(number: usize) -> String {
    let mut text = String::new();
    writeln!(text, "CREATE TABLE t{number} (id bigint PRIMARY KEY, note text NOT NULL, at timestamptz);")
        .expect("a String takes every write");
    writeln!(text, "CREATE INDEX t{number}_at ON t{number} (at);").expect("a String takes every write");
    text
}

fn history(texts: &[String]) -> History {
    let entries = texts.iter().enumerate().map(|(number, text)| {
        let name = if number == 0 { "Baseline.sql".to_owned() } else { format!("Script-{number:04}.sql") };
        Entry { name, content: Content::File(text.clone().into_bytes()) }
    });
    let folder = Folder { path: "sql".to_owned(), entries: entries.collect() };
    check(&folder, Options::default(), &Known::default()).history.expect("is sound")
}
