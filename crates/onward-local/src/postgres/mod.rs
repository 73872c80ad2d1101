mod account;
mod binaries;
mod cluster;
mod user;

use std::fs;
use std::path::{Path, PathBuf};

pub use self::binaries::find_binaries;
use self::cluster::Cluster;
use self::user::{PASSFILE, USER, write_passfile};
use crate::container::{Container, Image};
use crate::error::Error;
use crate::secret::kept_password;
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

/// <https://hub.docker.com/_/postgres>
const IMAGE: &str = "postgres:17.6";

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
            write_passfile(&home, &password)?;
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
        self.home.join(PASSFILE)
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Err(error) = self.users.leave(|| self.server.stop()) {
            tracing::warn!(%error, "the private PostgreSQL may still be running");
        }
    }
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
