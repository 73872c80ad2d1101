//! `serve` behind PgBouncer in transaction mode, and `migrate`, which refuses it. `REQUIRE_ENGINES=pgbouncer` makes the absence
//! of PgBouncer a failure.

#[expect(dead_code, reason = "another test uses the rest")]
mod world;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use world::{Worker, World};

/// Few enough that the app's connections must share the server's.
const SERVER_CONNECTIONS: usize = 3;

const ORDERS: i64 = 200;

fn main() -> ExitCode {
    let is_there = Command::new("pgbouncer").arg("--version").output().is_ok();
    let mut trials = Vec::new();
    if is_there {
        for (name, ignored) in [("refusing_options", ""), ("ignoring_options", "options")] {
            trials.push(Trial::test(format!("serve_works_behind_a_pool_{name}"), move || {
                run(serve_works_behind_a_pool(ignored))
            }));
            trials.push(Trial::test(format!("migrate_refuses_a_pool_{name}"), move || {
                run(migrate_refuses_a_pool(ignored))
            }));
        }
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    if required.split(',').any(|engine| engine.trim() == "pgbouncer") {
        trials.push(Trial::test("pgbouncer_is_there", move || match is_there {
            true => Ok(()),
            false => Err("REQUIRE_ENGINES asks for it; install PgBouncer".into()),
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::runtime::Runtime::new()?.block_on(test)
}

/// A pool in transaction mode, until it is dropped.
struct Pool {
    process: Child,
    /// The address of the database through it.
    url: String,
    _folder: TempDir,
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The kill of one that has already ended fails, which is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Pool {
    /// Starts it in front of a database whose server accepts the user without asking.
    fn start(url: &str, ignored: &str) -> Result<Self, Failed> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (start, rest) = url.split_once("127.0.0.1:").ok_or("the server is on a loopback port")?;
        let (server_port, name) = rest.split_once('/').ok_or("the address names a database")?;
        let (user, password) = start
            .trim_start_matches("postgres://")
            .trim_end_matches('@')
            .split_once(':')
            .ok_or("the address has a password")?;
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let users = folder.path().join("users");
        std::fs::write(&users, format!("\"{user}\" \"{password}\"\n"))?;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = {SERVER_CONNECTIONS}\nignore_startup_parameters = {ignored}\n",
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings)?;
        let mut command = Command::new("pgbouncer");
        // It does not run as root.
        if std::fs::metadata(folder.path())?.uid() == 0 {
            command.args(["-u", "nobody"]);
        }
        let mut process = command.arg(&file).stderr(Stdio::piped()).spawn()?;
        let log = BufReader::new(process.stderr.take().ok_or("its log is read")?);
        let mut lines = log.lines();
        let is_up = lines.by_ref().map_while(Result::ok).any(|line| line.contains("process up"));
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let pool = Self { process, url: format!("{start}127.0.0.1:{port}/{name}"), _folder: folder };
        if is_up { Ok(pool) } else { Err("PgBouncer does not start".into()) }
    }
}

/// Leaves prepared statements with the driver's names in every session of the server, as another program does.
async fn take_names(pool: &Pool) -> Result<(), Failed> {
    let mut clients = Vec::new();
    for _ in 0..SERVER_CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(&pool.url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await?;
        for number in 0..2 * ORDERS {
            client.batch_execute(&format!("PREPARE s{number} AS SELECT 1")).await?;
        }
        clients.push(client);
    }
    for client in clients {
        client.batch_execute("COMMIT").await?;
    }
    Ok(())
}

fn log_of(folder: &Path, number: usize) -> std::path::PathBuf {
    folder.join(format!("{number}.log"))
}

async fn serve_works_behind_a_pool(ignored: &str) -> Result<(), Failed> {
    let mut world = World::create(&format!("pooled{}", ignored.len())).await;
    let pool = Pool::start(&world.database, ignored)?;
    take_names(&pool).await?;
    world.database.clone_from(&pool.url);
    let logs = tempfile::tempdir()?;
    world
        .insert(&format!(
            "SELECT 'orders', NULL, format('{{\"number\": %s}}', n) FROM generate_series(1, {ORDERS}) n"
        ))
        .await;
    let mut workers = Vec::new();
    for number in 0..2 {
        let log = std::fs::File::create(log_of(logs.path(), number))?;
        let worker = world.app("serve").env("RUST_LOG", "info").stderr(log).spawn()?;
        workers.push(Worker(worker));
    }
    world.until("invoices", ORDERS).await;
    assert_eq!(world.count("orders").await, ORDERS);
    assert_eq!(world.count("(SELECT DISTINCT order_number FROM invoices) i").await, ORDERS);
    drop(workers);
    for number in 0..2 {
        let log = std::fs::read_to_string(log_of(logs.path(), number))?;
        let failed: Vec<_> = log.lines().filter(|line| line.contains("message failed")).take(3).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
    Ok(())
}

async fn migrate_refuses_a_pool(ignored: &str) -> Result<(), Failed> {
    let mut world = World::create(&format!("migrated{}", ignored.len())).await;
    let pool = Pool::start(&world.database, ignored)?;
    world.database.clone_from(&pool.url);
    let output = world.app("migrate").stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("is a connection pool") && said.contains("name the server itself"), "{said}");
    let status = world.app("status").stdout(Stdio::piped()).output()?;
    assert!(status.status.success(), "what only reads may use it: {status:?}");
    Ok(())
}
