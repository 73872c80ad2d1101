use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::container::{Container, Image};
use crate::error::Error;
use crate::secret::{kept_password, random_password, write_private};
use crate::users::{Users, folder, unusable};

/// A private PostgreSQL server: the machine's binaries, a data folder, a loopback port.
///
/// Any number of processes may use the same folder at once. The first one starts the server, and the last one
/// stops it. A server that still runs after a crash is found by its `postmaster.pid` and used again. PostgreSQL
/// refuses to run as root, so a process of root starts it as an unprivileged user.
///
/// It is for development and tests: it does not wait for the disk (`fsync=off`), so a power failure may
/// destroy its data.
#[derive(Debug)]
pub struct PrivatePostgres {
    home: PathBuf,
    server: Server,
    port: u16,
    password: String,
    users: Users,
}

#[derive(Debug)]
enum Server {
    /// By the programs of this machine.
    Cluster(Cluster),
    /// On a machine without them.
    Container(Container),
}

impl Server {
    fn stop(&self) -> Result<(), Error> {
        match self {
            Self::Cluster(cluster) => cluster.stop(),
            Self::Container(container) => container.stop(),
        }
    }
}

#[derive(Debug)]
struct Cluster {
    binaries: PathBuf,
    home: PathBuf,
    account: Option<Account>,
}

/// The account that runs the server when this process runs as root.
#[cfg(unix)]
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

/// On Windows the server itself drops the rights of an administrator.
#[cfg(not(unix))]
#[derive(Debug, Clone, Copy)]
enum Account {}

const USER: &str = "app";

/// <https://hub.docker.com/_/postgres>
const IMAGE: &str = "postgres:17.6";

/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
fn pgpass(password: &str) -> String {
    format!("127.0.0.1:*:*:{USER}:{password}\n")
}

impl PrivatePostgres {
    /// Starts the server with its data in `home`, or joins the server if it runs already. Without PostgreSQL's programs it is a
    /// container, if Docker or Podman answers.
    ///
    /// # Errors
    ///
    /// If there are no PostgreSQL binaries and no container engine, or they cannot use the folder.
    pub fn start(home: &Path) -> Result<Self, Error> {
        match find_binaries() {
            Ok(binaries) => Self::start_cluster(Cluster::new(binaries, home)?),
            Err(missing) => match Container::engine() {
                Ok(engine) => Self::start_container(engine, folder(home)?),
                Err(_) => Err(missing),
            },
        }
    }

    /// Whether this machine has what it needs: the binaries, or a container engine.
    ///
    /// # Errors
    ///
    /// If it has neither.
    pub fn is_possible() -> Result<(), Error> {
        find_binaries().map(|_| ()).or_else(|missing| Container::engine().map(|_| ()).map_err(|_| missing))
    }

    fn start_cluster(cluster: Cluster) -> Result<Self, Error> {
        let home = cluster.home.clone();
        let (users, port) = Users::join(&home, || {
            if !cluster.data().join("PG_VERSION").exists() {
                cluster.create()?;
            }
            if !cluster.runs()? {
                cluster.start()?;
            }
            cluster.port()
        })?;
        let password = fs::read_to_string(home.join("password")).map_err(|error| unusable(&home, &error))?;
        let password = password.trim().to_owned();
        Ok(Self { home, server: Server::Cluster(cluster), port, password, users })
    }

    fn start_container(engine: &str, home: PathBuf) -> Result<Self, Error> {
        let (users, (container, port, password)) = Users::join(&home, || {
            let password = kept_password(&home, "")?;
            write_private(&home.join("pgpass"), &pgpass(&password))?;
            let image = Image {
                name: IMAGE,
                kind: "postgres",
                port: 5432,
                data: "/var/lib/postgresql/data",
                variables: vec![("POSTGRES_USER", USER.to_owned()), ("POSTGRES_PASSWORD", password.clone())],
                arguments: &["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "max_connections=200"],
            };
            let container = Container::start(engine, &home, &image)?;
            // While the image makes its databases, the server listens on a Unix socket only.
            container.wait_until(&["pg_isready", "--host", "127.0.0.1", "--username", USER], None)?;
            let port = container.port(5432)?;
            Ok((container, port, password))
        })?;
        Ok(Self { home, server: Server::Container(container), port, password, users })
    }

    /// The address of a database in it; the database `app` exists from the start. The address contains the
    /// password, so do not log it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}?sslmode=disable", self.password, self.port)
    }

    /// The file from which `psql` reads the password: `PGPASSFILE=… psql …`.
    #[must_use]
    pub fn passfile(&self) -> PathBuf {
        self.home.join("pgpass")
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Err(error) = self.users.leave(|| self.server.stop()) {
            tracing::warn!(%error, "the private PostgreSQL may still be running");
        }
    }
}

impl Cluster {
    fn new(binaries: PathBuf, home: &Path) -> Result<Self, Error> {
        let home = folder(home)?;
        let account = account()?;
        let home = if account.is_some() { reachable(home)? } else { home };
        Ok(Self { binaries, home, account })
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.data().join("server.log")
    }

    /// Creates a cluster with a random password: loopback ports are open to every user of the machine.
    fn create(&self) -> Result<(), Error> {
        let data = self.data();
        fs::create_dir_all(&data).map_err(|error| unusable(&data, &error))?;
        self.give_away(&data)?;
        let password = random_password().map_err(|error| unusable(&self.home, &error))?;
        let password_file = self.home.join("password");
        write_private(&password_file, &password)?;
        write_private(&self.home.join("pgpass"), &pgpass(&password))?;

        // initdb runs as the server's user, who cannot read our password file.
        let handed_over = data.with_extension("pw");
        write_private(&handed_over, &password)?;
        self.give_away(&handed_over)?;
        let mut initdb = self.command("initdb");
        initdb.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--auth=scram-sha-256"]);
        initdb.arg("--username").arg(USER).arg("--pwfile").arg(&handed_over);
        let created = run(initdb.arg("--pgdata").arg(&data));
        fs::remove_file(&handed_over).map_err(|error| unusable(&handed_over, &error))?;
        created.map_err(|reason| {
            let message = format!("initdb failed: {reason}");
            Error::new(message, "correct the reported problem, or set DATABASE_URL to a database of your own")
        })?;
        self.create_database()
    }

    /// Creates the database of the app with the single-user server, before the first start.
    fn create_database(&self) -> Result<(), Error> {
        let mut single = self.command("postgres");
        single.arg("--single").args(["-c", "fsync=off"]).arg("-D").arg(self.data()).arg("postgres");
        let failed = |reason: String| {
            let message = format!("the database was not created: {reason}");
            Error::new(message, "correct the reported problem, or set DATABASE_URL to a database of your own")
        };
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = single.spawn().map_err(|error| failed(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            io::Write::write_all(&mut stdin, format!("CREATE DATABASE {USER};\n").as_bytes())
                .map_err(|error| failed(error.to_string()))?;
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        said(output).map(|_| ()).map_err(failed)
    }

    fn runs(&self) -> Result<bool, Error> {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("-D").arg(self.data());
        let output = status.output().map_err(|error| unusable(&self.binaries, &error))?;
        // 0: it runs; 3: it does not; https://www.postgresql.org/docs/current/app-pg-ctl.html
        match output.status.code() {
            Some(0) => Ok(true),
            Some(3) => Ok(false),
            _ => Err(Error::new(
                format!("pg_ctl cannot read the status of {}: {}", self.data().display(), text(&output)),
                "delete the folder: the next start creates it again",
            )),
        }
    }

    /// Starts the server and returns when it accepts connections. The server has a session of its own, so a
    /// Ctrl-C in the terminal does not reach it.
    fn start(&self) -> Result<(), Error> {
        let port = free_port().map_err(|error| unusable(&self.home, &error))?;
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off \
             -c synchronous_commit=off -c full_page_writes=off -c max_connections=200"
        );
        let mut start = self.command("pg_ctl");
        start.args(["start", "-w", "-s", "-t", "60", "-D"]).arg(self.data());
        start.arg("-l").arg(self.log()).arg("-o").arg(options);
        // The server inherits the streams of pg_ctl. It would keep a pipe open, and we would wait for its end.
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = start.status().map_err(|error| unusable(&self.binaries, &error))?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        let tail: Vec<_> = lines.into_iter().rev().collect();
        let message = format!("the private PostgreSQL did not start:\n    {}", tail.join("\n    "));
        let help = format!(
            "correct what the log reports, or delete {}: the next start creates it again",
            self.home.display()
        );
        Err(Error::new(message, help))
    }

    fn stop(&self) -> Result<(), Error> {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-w", "-s", "-m", "fast", "-D"]).arg(self.data());
        run(&mut stop).map_err(|reason| {
            let help = format!("stop it with `pg_ctl stop -D {}`", self.data().display());
            Error::new(format!("the private PostgreSQL did not stop: {reason}"), help)
        })
    }

    /// The port of the running server: the fourth line of `postmaster.pid`.
    /// <https://www.postgresql.org/docs/current/storage-file-layout.html>
    fn port(&self) -> Result<u16, Error> {
        let path = self.data().join("postmaster.pid");
        let pid_file = fs::read_to_string(&path).map_err(|error| unusable(&path, &error))?;
        let port = pid_file.lines().nth(3).and_then(|line| line.trim().parse().ok());
        port.ok_or_else(|| unusable(&path, &io::ErrorKind::InvalidData.into()))
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        // The server's user may be unable to enter our current folder, and then the command would fail.
        command.current_dir(&self.home).env("LC_ALL", "C");
        for variable in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"] {
            command.env_remove(variable);
        }
        if let Some(account) = self.account {
            account.run(&mut command);
        }
        command
    }

    fn give_away(&self, path: &Path) -> Result<(), Error> {
        match self.account {
            Some(account) => account.own(path).map_err(|error| unusable(path, &error)),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
impl Account {
    fn run(self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        command.uid(self.uid).gid(self.gid);
    }

    fn own(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

#[cfg(not(unix))]
impl Account {
    fn run(self, _: &mut Command) {
        match self {}
    }

    fn own(self, _: &Path) -> io::Result<()> {
        match self {}
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    said(output).map(|_| ())
}

fn said(output: Output) -> Result<String, String> {
    if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).trim().to_owned()
}

/// Finds the folder with `initdb`, `postgres` and `pg_ctl`.
///
/// `ONWARD_POSTGRES_BIN` names the folder. Without this variable, the search covers PATH, the folder that
/// `pg_config` prints, and the usual folders of each system.
///
/// # Errors
///
/// If there is no such folder; the error names the commands that install the binaries.
pub fn find_binaries() -> Result<PathBuf, Error> {
    if let Some(chosen) = std::env::var_os("ONWARD_POSTGRES_BIN") {
        let chosen = PathBuf::from(chosen);
        return if is_complete(&chosen) { Ok(chosen) } else { Err(no_binaries()) };
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let said = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()
        .and_then(|output| output.status.success().then(|| PathBuf::from(text(&output))));
    let mut candidates = std::env::split_paths(&on_path).chain(said).chain(usual_places());
    candidates.find(|folder| is_complete(folder)).ok_or_else(no_binaries)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"]
        .iter()
        .all(|name| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).is_file())
}

fn no_binaries() -> Error {
    Error::new(
        "no PostgreSQL binaries (initdb, postgres, pg_ctl) on this machine",
        "install them (Debian: `apt-get install postgresql`, Red Hat: `dnf install postgresql-server`, macOS: \
         `brew install postgresql@17`), name their folder in ONWARD_POSTGRES_BIN, start Docker or Podman, or set DATABASE_URL to a \
         database of your own",
    )
}

/// The folders where distributions and installers put the binaries, the newest version first.
fn usual_places() -> Vec<PathBuf> {
    const VERSIONED: &[(&str, &str)] = &[
        ("/usr/lib/postgresql", "bin"),
        ("/usr/pgsql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ("C:\\Program Files\\PostgreSQL", "bin"),
    ];
    let mut places = Vec::new();
    for (parent, bin) in VERSIONED {
        // Red Hat has sibling folders such as pgsql-17; the others have one folder for each version.
        let (folder, prefix) = match *parent {
            "/usr/pgsql" => (Path::new("/usr"), "pgsql-"),
            "/opt/homebrew/opt" | "/usr/local/opt" => (Path::new(*parent), "postgresql"),
            parent => (Path::new(parent), ""),
        };
        let mut found: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(bin))
            .collect();
        let version = |path: &PathBuf| -> u32 {
            let digits: String = path.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        found.sort_by_key(|path| std::cmp::Reverse(version(path)));
        places.extend(found);
    }
    places
}

/// The account that must run the server: `None`, unless this process runs as root.
#[cfg(unix)]
fn account() -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = |name: &str| {
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
            [user, _, uid, gid, ..] if user == name => {
                Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            }
            _ => None,
        })
    };
    named("postgres").or_else(|| named("nobody")).map(Some).ok_or_else(|| {
        let help = "create the user `postgres`, or start the app as an ordinary user";
        Error::new("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`", help)
    })
}

#[cfg(not(unix))]
fn account() -> Result<Option<Account>, Error> {
    Ok(None)
}

/// The folder itself, or a folder elsewhere if the server's user cannot enter it, for example below `/root`.
#[cfg(unix)]
fn reachable(home: PathBuf) -> Result<PathBuf, Error> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::os::unix::fs::PermissionsExt as _;
    let enterable =
        |folder: &Path| fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0);
    if home.ancestors().all(enterable) {
        return Ok(home);
    }
    let mut hasher = DefaultHasher::new();
    home.hash(&mut hasher);
    let outside = PathBuf::from(format!("/var/lib/onward/{:016x}", hasher.finish()));
    fs::create_dir_all(&outside).map_err(|error| unusable(&outside, &error))?;
    Ok(outside)
}

#[cfg(not(unix))]
fn reachable(home: PathBuf) -> Result<PathBuf, Error> {
    Ok(home)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::container::fake::Engine;

    #[test]
    fn without_binaries_a_container_does_the_same() {
        let engine = Engine::new();
        let home = folder(&engine.home().join("home")).expect("can be made");
        let start = || PrivatePostgres::start_container(&engine.program(), home.clone()).expect("starts");
        let first = start();
        let password = engine.read("home/password");
        assert_eq!(
            first.url("shop"),
            format!("postgres://app:{password}@127.0.0.1:15433/shop?sslmode=disable")
        );
        assert_eq!(engine.read("home/pgpass"), format!("127.0.0.1:*:*:app:{password}\n"));
        assert!(engine.read("environment").contains(&format!("POSTGRES_PASSWORD={password}")));
        assert!(!engine.read("asked").contains(&password));
        let second = start();
        assert_eq!(first.url("app"), second.url("app"));
        engine.asked();
        drop((first, second));
        assert_eq!(engine.asked(), ["stop"]);
    }
}
