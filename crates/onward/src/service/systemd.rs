//! A systemd unit and its commands.
//! <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html>

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::file::{self, ask};
use super::{STOP_SECONDS, full_path, program, report, safe};
use crate::cli::Install;
use crate::config::identity::Identity;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// A unit of the system, or of one user.
pub(super) struct Service {
    name: String,
    of_user: bool,
}

impl Service {
    pub(super) fn of(name: String, of_user: bool) -> Result<Self, CommandError> {
        Ok(Self { name, of_user })
    }

    pub(super) fn install(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<Exit, CommandError> {
        let text = self.unit(identity, install, env_file)?;
        let boot = if install.manual || install.disabled { "disable" } else { "enable" };
        let is_taken = || self.systemctl("cat").map(|(is_there, _)| is_there);
        let enable = || self.reload().and_then(|()| self.systemctl(boot));
        file::install(&self.name, &self.file()?, &text, install.print, is_taken, enable)
    }

    pub(super) fn uninstall(&self) -> Result<Exit, CommandError> {
        let file = self.file()?;
        if !file.exists() {
            return report(&self.name, "is not installed");
        }
        self.done(&["disable", "--now"], "")?;
        file::remove(&file)?;
        self.reload()?;
        report(&self.name, "is uninstalled")
    }

    pub(super) fn start(&self) -> Result<Exit, CommandError> {
        if self.systemctl("is-active")?.0 {
            return report(&self.name, "runs already");
        }
        self.is_installed()?;
        self.done(&["start"], "started")
    }

    pub(super) fn stop(&self) -> Result<Exit, CommandError> {
        self.is_installed()?;
        let (_, state) = self.systemctl("is-active")?;
        if state == "inactive" || state == "failed" {
            return report(&self.name, "does not run");
        }
        self.done(&["stop"], "stopped")
    }

    pub(super) fn restart(&self) -> Result<Exit, CommandError> {
        self.is_installed()?;
        self.done(&["restart"], "restarted")
    }

    pub(super) fn status(&self) -> Result<Exit, CommandError> {
        let (is_active, said) = self.systemctl("is-active")?;
        data(&format!("{}  {said}", self.name))?;
        Ok(if is_active { Exit::Done } else { Exit::Failed })
    }

    fn file(&self) -> Result<PathBuf, CommandError> {
        if !self.of_user {
            return Ok(Path::new("/etc/systemd/system").join(self.unit_name()));
        }
        let home = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        let home = home.ok_or_else(|| CommandError::new(Exit::Configuration, "HOME is not set", "set it"))?;
        Ok(home.join("systemd/user").join(self.unit_name()))
    }

    fn is_installed(&self) -> Result<(), CommandError> {
        super::is_installed(&self.name, &self.file()?)
    }

    fn unit_name(&self) -> String {
        format!("{}.service", self.name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("systemctl");
        if self.of_user {
            command.arg("--user");
        }
        command
    }

    fn systemctl(&self, action: &str) -> Result<(bool, String), CommandError> {
        ask(self.command().args([action, &self.unit_name()]))
    }

    /// Makes systemd read its units again. If systemd does not run, for example in the build of an image, it reads them when
    /// it starts.
    fn reload(&self) -> Result<(), CommandError> {
        ask(self.command().arg("daemon-reload")).map(|_| ())
    }

    fn done(&self, action: &[&str], done: &str) -> Result<Exit, CommandError> {
        let (is_done, said) = ask(self.command().args(action).arg(self.unit_name()))?;
        if !is_done {
            let (user, sudo) = if self.of_user {
                (" --user", "")
            } else {
                ("", "; if a right is missing, run the command with sudo")
            };
            let help = format!("see `systemctl{user} status {}`{sudo}", self.unit_name());
            let action = action.join(" ");
            return Err(CommandError::new(Exit::Failed, format!("systemctl {action} failed: {said}"), help));
        }
        if done.is_empty() { Ok(Exit::Done) } else { report(&self.name, done) }
    }

    fn unit(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<String, CommandError> {
        if install.delayed {
            let help = "leave it out; to start after other units, add `After=` with `systemctl edit`";
            return Err(CommandError::new(Exit::Usage, "--delayed is for Windows", help));
        }
        let program = program()?;
        let mut text = format!(
            "# Written by `{} service install`.\n[Unit]\nDescription={} worker\nWants=network-online.target\n\
             After=network-online.target\nStartLimitIntervalSec=0\n\n[Service]\nType=notify\nExecStart=\"{program}\" serve\n\
             Environment=APP_ENV=production\n",
            identity.name, self.name
        );
        let mut line = |line: &str| writeln!(text, "{line}").expect("a String takes every write");
        if let Some(file) = env_file {
            line(&format!("EnvironmentFile={}", full_path(file)?));
        }
        if !self.of_user {
            match &install.user {
                Some(user) => line(&format!("User={}", safe("the user", user)?)),
                None => line("DynamicUser=yes"),
            }
        }
        // The folder in which the worker records what must outlive a process.
        line(&format!("StateDirectory={}", self.name));
        line("Restart=always");
        line(&format!("RestartSec={}", install.restart_delay.as_secs_f64()));
        // Another start does not correct a wrong command line or configuration.
        line("RestartPreventExitStatus=2 3");
        // Reads the log levels again, from the file that RUST_LOG_FILE names.
        line("ExecReload=/bin/kill -HUP $MAINPID");
        line("WatchdogSec=60");
        line(&format!("TimeoutStopSec={STOP_SECONDS}"));
        text.push_str(HARDENING_OF_ALL);
        if !self.of_user {
            text.push_str(HARDENING_OF_SYSTEM);
        }
        let target = if self.of_user { "default.target" } else { "multi-user.target" };
        write!(text, "\n[Install]\nWantedBy={target}\n").expect("a String takes every write");
        Ok(text)
    }
}

/// Forbids what the worker never needs: devices, other users' files, new rights, other kinds of sockets.
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html>
const HARDENING_OF_ALL: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
UMask=0077
";

/// The settings that only the system's manager has the right to apply.
const HARDENING_OF_SYSTEM: &str = "\
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RemoveIPC=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
CapabilityBoundingSet=
";
