use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::account::{Account, account, reachable};
use super::user::{USER, write_passfile};
use crate::error::Error;
use crate::secret::{random_password, write_private};
use crate::users::{folder, unusable};

/// A server by the programs of this machine, and its data.
#[derive(Debug)]
pub(super) struct Cluster {
    binaries: PathBuf,
    pub(super) home: PathBuf,
    account: Option<Account>,
}

impl Cluster {
    pub(super) fn new(binaries: PathBuf, home: &Path) -> Result<Self, Error> {
        let home = folder(home)?;
        let account = account()?;
        let home = if account.is_some() { reachable(home)? } else { home };
        Ok(Self { binaries, home, account })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.data().join("server.log")
    }

    /// Creates a cluster with a random password: loopback ports are open to every user of the machine.
    pub(super) fn create(&self) -> Result<(), Error> {
        let data = self.data();
        fs::create_dir_all(&data).map_err(|error| unusable(&data, &error))?;
        self.give_away(&data)?;
        let password = random_password().map_err(|error| unusable(&self.home, &error))?;
        let password_file = self.home.join("password");
        write_private(&password_file, &password)?;
        write_passfile(&self.home, &password)?;

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

    pub(super) fn runs(&self) -> Result<bool, Error> {
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
    pub(super) fn start(&self) -> Result<(), Error> {
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

    pub(super) fn stop(&self) -> Result<(), Error> {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-w", "-s", "-m", "fast", "-D"]).arg(self.data());
        run(&mut stop).map_err(|reason| {
            let help = format!("stop it with `pg_ctl stop -D {}`", self.data().display());
            Error::new(format!("the private PostgreSQL did not stop: {reason}"), help)
        })
    }

    /// The port of the running server: the fourth line of `postmaster.pid`.
    /// <https://www.postgresql.org/docs/current/storage-file-layout.html>
    pub(super) fn port(&self) -> Result<u16, Error> {
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

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
