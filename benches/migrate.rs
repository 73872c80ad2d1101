//! Measures a migration of many scripts from empty, and one with nothing to do. The comparisons are `psql -1 -f` of the
//! same texts and the peers on the PATH (`sqlx`, `refinery`, `dbmate`). `cargo bench --bench migrate -- [SCRIPTS]`, 1,000
//! by default.

#[expect(dead_code, reason = "other benches use the rest")]
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::PrivatePostgres;
use onward_migrate::{Applier, DatabaseUrl, MigrateOptions, Session, SessionOptions, migrate};
use onward_script::{Bundle, CheckOptions, Content, Entry, Folder, History, Known, check};
use support::{alternating, spread};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 7;

fn main() {
    let given: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    match given.iter().position(|word| word == "client") {
        Some(at) => runtime.block_on(be_client(&given[at + 1..])),
        None => {
            let count = given.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000);
            runtime.block_on(compare(count));
        }
    }
}

/// One migrator: the command for an address, and its measurements.
struct Migrator {
    name: &'static str,
    command: Box<dyn Fn(&str) -> Command>,
    from_empty: Vec<Duration>,
    nothing: Vec<Duration>,
    peak_mib: f64,
}

async fn compare(count: usize) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-migrate-{count}"));
    let texts: Vec<_> = (0..=count).map(script).collect();
    write_all(&folder, &texts);

    let mut migrators = migrators(&folder, count <= MOST_TOGETHER);
    for round in 0..if count <= MOST_TOGETHER { ROUNDS } else { 1 } {
        for place in alternating(migrators.len(), round) {
            let migrator = &mut migrators[place];
            let url = fresh(&admin, &server).await;
            let (took, peak) = run(migrator, &url);
            migrator.from_empty.push(took);
            migrator.peak_mib = peak;
            if !migrator.name.starts_with("psql") {
                migrator.nothing.push(run(migrator, &url).0);
            }
        }
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{count} scripts, whole processes      | from empty ms | of psql: median (range) | nothing to do ms | peak MiB"
    )
    .expect("is open");
    let psql = &migrators[0].from_empty;
    for Migrator { name, from_empty, nothing, peak_mib, .. } in &migrators {
        let [_, ms, _] = spread(from_empty.iter().map(|took| took.as_secs_f64() * 1e3));
        let pairs = from_empty.iter().zip(psql);
        let [lowest, ratio, highest] =
            spread(pairs.map(|(own, psql)| own.as_secs_f64() / psql.as_secs_f64()));
        let ratio = format!("{ratio:.2} ({lowest:.2} to {highest:.2})");
        let nothing = match nothing.is_empty() {
            true => String::new(),
            false => format!("{:.1}", spread(nothing.iter().map(|took| took.as_secs_f64() * 1e3))[1]),
        };
        writeln!(out, "{name:36} | {ms:13.0} | {ratio:23} | {nothing:>16} | {peak_mib:8.0}")
            .expect("is open");
    }
}

/// With more scripts, one transaction needs more locks than the server allows by default.
const MOST_TOGETHER: usize = 2_000;

/// psql, this product, and the peers on the PATH.
fn migrators(folder: &Path, together: bool) -> Vec<Migrator> {
    let own = |mode: &'static str| -> Box<dyn Fn(&str) -> Command> {
        let folder = folder.to_owned();
        Box::new(move |url| {
            let mut command = Command::new(std::env::current_exe().expect("is a file"));
            command.args(["client", mode]).arg(folder.join("onward")).arg(url);
            command
        })
    };
    let other =
        |program: &'static str, given: &'static [&'static str], path: &str| -> Box<dyn Fn(&str) -> Command> {
            let path = folder.join(path);
            Box::new(move |url| {
                let mut command = Command::new(program);
                for word in given {
                    match *word {
                        "URL" => command.arg(url),
                        "PATH" => command.arg(&path),
                        word => command.arg(word),
                    };
                }
                command.env("DATABASE_URL", url);
                command
            })
        };
    let psql_together = &["-q", "-1", "-X", "-v", "ON_ERROR_STOP=1", "-f", "PATH", "-d", "URL"];
    let psql = &["-q", "-X", "-v", "ON_ERROR_STOP=1", "-f", "PATH", "-d", "URL"];
    let sqlx = &["migrate", "run", "--source", "PATH", "--database-url", "URL"];
    let refinery = &["migrate", "-e", "DATABASE_URL", "-p", "PATH"];
    let dbmate = &["--url", "URL", "--migrations-dir", "PATH", "--no-dump-schema", "migrate"];
    let mut all = if together {
        vec![
            ("psql -1 -f, all in one transaction", other("psql", psql_together, "all.sql")),
            ("onward --single-transaction", own("together")),
        ]
    } else {
        vec![("psql -f, a transaction a statement", other("psql", psql, "all.sql"))]
    };
    all.push(("onward, a transaction a script", own("each")));
    for (name, program, given, path) in [
        ("sqlx-cli", "sqlx", &sqlx[..], "sqlx"),
        ("refinery_cli", "refinery", refinery, "refinery"),
        ("dbmate", "dbmate", dbmate, "dbmate"),
    ] {
        let is_there =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if is_there.is_ok() {
            all.push((name, other(program, given, path)));
        }
    }
    let migrator = |(name, command)| Migrator {
        name,
        command,
        from_empty: Vec::new(),
        nothing: Vec::new(),
        peak_mib: f64::NAN,
    };
    all.into_iter().map(migrator).collect()
}

/// Writes the same texts in each tool's own form.
fn write_all(folder: &Path, texts: &[String]) {
    let history = history(texts);
    let Bundle { manifest, scripts, .. } = Bundle::write(&history);
    for name in ["onward", "sqlx", "refinery", "dbmate"] {
        std::fs::create_dir_all(folder.join(name)).expect("is writable");
    }
    let write = |name: String, text: &[u8]| std::fs::write(folder.join(name), text).expect("is writable");
    write("all.sql".to_owned(), texts.concat().as_bytes());
    write("onward/manifest".to_owned(), manifest.as_bytes());
    write("onward/scripts.sql".to_owned(), &scripts);
    for (number, text) in texts.iter().enumerate() {
        write(format!("sqlx/{:05}_script.sql", number + 1), text.as_bytes());
        write(format!("refinery/V{}__script.sql", number + 1), text.as_bytes());
        write(
            format!("dbmate/{:014}_script.sql", number + 1),
            format!("-- migrate:up\n{text}-- migrate:down\n").as_bytes(),
        );
    }
}

/// Runs a migrator to its end; our own reports its peak memory.
fn run(migrator: &Migrator, url: &str) -> (Duration, f64) {
    let mut command = (migrator.command)(url);
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("starts");
    let took = begun.elapsed();
    assert!(output.status.success(), "{}: {}", migrator.name, String::from_utf8_lossy(&output.stderr));
    (took, String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(f64::NAN))
}

/// Does what `app migrate` does, with the scripts in files instead of in the binary.
async fn be_client(given: &[String]) {
    let [mode, folder, url] = given else { panic!("{given:?}") };
    let read = |name: &str| std::fs::read_to_string(Path::new(folder).join(name)).expect("was written");
    let (manifest, scripts) = (read("manifest").leak(), read("scripts.sql").leak());
    let history = Bundle::read(manifest, scripts.as_bytes(), "").expect("was written by this version");
    apply(url, &history, mode == "together").await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    writeln!(std::io::stdout(), "{}", peak.unwrap_or(f64::NAN) / 1024.0).expect("is open");
}

async fn fresh(admin: &tokio_postgres::Client, server: &PrivatePostgres) -> String {
    admin.batch_execute("DROP DATABASE IF EXISTS bench_migrate WITH (FORCE)").await.expect("is dropped");
    admin.batch_execute("CREATE DATABASE bench_migrate").await.expect("is created");
    server.url("bench_migrate")
}

async fn apply(url: &str, all: &History, single_transaction: bool) {
    let url: DatabaseUrl = url.parse().expect("is an address");
    let options = MigrateOptions {
        to: None,
        wait: Duration::from_secs(1),
        single_transaction,
        applier: Applier::default(),
        stop: CancellationToken::new(),
    };
    let mut session = Session::connect(&url, &SessionOptions::default()).await.expect("connects");
    migrate(&mut session, all, &options, &mut |_| {}).await.expect("works");
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
    check(&folder, CheckOptions::default(), &Known::default()).history.expect("is sound")
}
