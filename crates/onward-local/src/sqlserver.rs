use std::path::{Path, PathBuf};

use crate::container::{Container, Image};
use crate::error::Error;
use crate::secret::{kept_password, write_private};
use crate::users::{Users, folder};

/// A private SQL Server in a container, with the database `app`.
///
/// It is the Developer edition, whose licence a person must have accepted: [`PrivateSqlServer::accept_licence`]. Any number of
/// processes may use the same folder at once. The first one starts the container, and the last one stops it; the data stay in a
/// volume.
#[derive(Debug)]
pub struct PrivateSqlServer {
    container: Container,
    port: u16,
    password: String,
    users: Users,
}

/// <https://mcr.microsoft.com/artifact/mar/mssql/server/about>
const IMAGE: &str = "mcr.microsoft.com/mssql/server:2022-CU16-ubuntu-22.04";

const PORT: u16 = 1433;

const SQLCMD: &str = "/opt/mssql-tools18/bin/sqlcmd";

/// The variable from which `sqlcmd` reads the password.
/// <https://learn.microsoft.com/sql/tools/sqlcmd/sqlcmd-use-scripting-variables>
const PASSWORD: &str = "SQLCMDPASSWORD";

impl PrivateSqlServer {
    /// Where the licence is, for the question.
    pub const LICENCE: &'static str = "https://go.microsoft.com/fwlink/?linkid=857698";

    /// Whether somebody has accepted the licence in this folder.
    #[must_use]
    pub fn has_licence(home: &Path) -> bool {
        licence(home).exists()
    }

    /// Remembers that somebody has accepted the licence.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn accept_licence(home: &Path) -> Result<(), Error> {
        write_private(&licence(&folder(home)?), &format!("{}\n", Self::LICENCE))
    }

    /// Whether a container engine answers, without which there is no private SQL Server.
    ///
    /// # Errors
    ///
    /// If neither Docker nor Podman answers.
    pub fn is_possible() -> Result<(), Error> {
        engine().map(|_| ())
    }

    /// Starts the server with its address and password in `home`, or joins it if it runs already.
    ///
    /// # Errors
    ///
    /// If no engine answers, if the licence is not accepted, or if the server does not start.
    pub fn start(home: &Path) -> Result<Self, Error> {
        Self::start_by(engine()?, home)
    }

    fn start_by(engine: &str, home: &Path) -> Result<Self, Error> {
        let home = folder(home)?;
        if !Self::has_licence(&home) {
            let message = format!("the licence of SQL Server is not accepted: {}", Self::LICENCE);
            return Err(Error::new(message, "read it, then set ACCEPT_EULA=Y once"));
        }
        let (users, (container, port, password)) = Users::join(&home, || {
            // The server asks for three kinds of characters.
            // <https://learn.microsoft.com/sql/relational-databases/security/password-policy>
            let password = kept_password(&home, "Onward-")?;
            let image = Image {
                name: IMAGE,
                kind: "sqlserver",
                port: PORT,
                data: "/var/opt/mssql",
                variables: vec![
                    ("ACCEPT_EULA", "Y".to_owned()),
                    ("MSSQL_PID", "Developer".to_owned()),
                    ("MSSQL_SA_PASSWORD", password.clone()),
                ],
                arguments: &[],
            };
            let container = Container::start(engine, &home, &image)?;
            let database = "IF DB_ID(N'app') IS NULL CREATE DATABASE app";
            let create = [SQLCMD, "-C", "-b", "-S", "localhost", "-U", "sa", "-Q", database];
            container.wait_until(&create, Some((PASSWORD, &password)))?;
            let port = container.port(PORT)?;
            Ok((container, port, password))
        })?;
        Ok(Self { container, port, password, users })
    }

    /// The address of a database in it. It contains the password, so do not log it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!(
            "server=tcp:127.0.0.1,{};database={database};user=sa;password={};TrustServerCertificate=true",
            self.port, self.password
        )
    }

    /// A command with which a person looks into the database `app`; it asks for the password.
    #[must_use]
    pub fn client(&self) -> String {
        self.container.shell(&format!("{SQLCMD} -C -U sa -d app"))
    }
}

impl Drop for PrivateSqlServer {
    fn drop(&mut self) {
        if let Err(error) = self.users.leave(|| self.container.stop()) {
            tracing::warn!(%error, "the private SQL Server may still be running");
        }
    }
}

fn engine() -> Result<&'static str, Error> {
    Container::engine().map_err(|reason| {
        Error::new(
            format!("no container engine answers, so there is no private SQL Server ({reason})"),
            "start Docker or Podman; or set DATABASE_URL to a SQL Server of your own; or install one (see the page on SQL Server in \
             the documentation)",
        )
    })
}

fn licence(home: &Path) -> PathBuf {
    home.join("licence-accepted")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::container::fake::Engine;

    fn start(engine: &Engine) -> Result<PrivateSqlServer, Error> {
        PrivateSqlServer::start_by(&engine.program(), &engine.home().join("home"))
    }

    fn accepted() -> Engine {
        let engine = Engine::new();
        PrivateSqlServer::accept_licence(&engine.home().join("home")).expect("is writable");
        engine
    }

    #[test]
    fn the_first_user_makes_the_container_and_the_last_one_stops_it() {
        let engine = accepted();
        let first = start(&engine).expect("starts");
        assert_eq!(engine.asked(), ["container", "run", "exec", "container", "exec", "port"]);
        assert!(
            first
                .url("shop")
                .starts_with("server=tcp:127.0.0.1,15433;database=shop;user=sa;password=Onward-")
        );
        let second = start(&engine).expect("joins");
        assert_eq!(engine.asked(), ["container", "exec", "port"], "it runs already");
        assert_eq!(first.url("app"), second.url("app"));
        drop(first);
        assert_eq!(engine.asked(), [""; 0], "somebody still uses it");
        drop(second);
        assert_eq!(engine.asked(), ["stop"]);
        let again = start(&engine).expect("starts");
        assert_eq!(engine.asked()[..2], ["container", "start"], "its volume is kept");
        drop(again);
    }

    #[test]
    fn the_password_is_on_no_command_line() {
        let engine = accepted();
        let server = start(&engine).expect("starts");
        let password = engine.read("home/password");
        assert_eq!(password.len(), "Onward-".len() + 32);
        assert!(!engine.read("asked").contains(&password));
        assert!(engine.read("environment").contains(&format!("MSSQL_SA_PASSWORD={password}")));
        assert!(engine.read("environment").contains("ACCEPT_EULA=Y"));
        assert!(!server.client().contains(&password), "{}", server.client());
    }

    #[test]
    fn a_server_that_does_not_start_says_why() {
        let engine = accepted();
        engine.write("ready", "1000000");
        engine.write("ends", "");
        let error = start(&engine).expect_err("it ends");
        assert!(error.message.contains("Login failed") && error.message.contains("the last line"), "{error}");
        assert!(error.help.contains("rm --force onward-sqlserver-"), "{error}");
    }

    #[test]
    fn nothing_starts_before_the_licence_is_accepted() {
        let engine = Engine::new();
        let error = start(&engine).expect_err("nobody has accepted it");
        assert!(
            error.message.contains("go.microsoft.com") && error.help.contains("ACCEPT_EULA=Y"),
            "{error}"
        );
        assert!(!engine.home().join("asked").exists());
    }
}
