//! The app as a service of systemd: its unit, and the commands around it.
//! <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html>

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{Install, Service};
use crate::command::migrate::Identity;
use crate::exit::{Exit, Failed};
use crate::terminal::data;

/// Above the longest drain: the grace, the open poll, and the last deletes.
const STOP_SECONDS: u64 = 90;

pub(crate) fn run(identity: &Identity, command: &Service) -> Result<Exit, Failed> {
    match command {
        Service::Install(install) => installed(identity, install),
        Service::Uninstall(named) => uninstalled(&Unit::of(identity, named)),
        Service::Start(named) => Unit::of(identity, named).systemctl(&["start"], "started"),
        Service::Stop(named) => Unit::of(identity, named).systemctl(&["stop"], "stopped"),
        Service::Restart(named) => Unit::of(identity, named).systemctl(&["restart"], "restarted"),
        Service::Status(named) => status(&Unit::of(identity, named)),
    }
}

/// A unit of the system, or of one user.
struct Unit {
    name: String,
    of_user: bool,
}

impl Unit {
    fn of(identity: &Identity, named: &crate::cli::Named) -> Self {
        let name = named.name.clone().unwrap_or_else(|| identity.name.clone());
        let name = match &named.instance {
            Some(instance) => format!("{name}-{instance}"),
            None => name,
        };
        Self { name, of_user: named.user_level }
    }

    fn file(&self) -> Result<PathBuf, Failed> {
        let name = format!("{}.service", self.name);
        if !self.of_user {
            return Ok(Path::new("/etc/systemd/system").join(name));
        }
        let home = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        let home = home.ok_or_else(|| Failed::new(Exit::Configuration, "HOME is not set", "set it"))?;
        Ok(home.join("systemd/user").join(name))
    }

    fn systemctl(&self, action: &[&str], done: &str) -> Result<Exit, Failed> {
        let said = self.ask(action)?;
        if !said.0 {
            let sudo = if self.of_user { "" } else { "; without the rights, run it with sudo" };
            let help = format!("see `{} {}`{sudo}", self.command(), self.unit("status"));
            let action = action.join(" ");
            return Err(Failed::new(Exit::Failed, format!("systemctl {action} failed: {}", said.1), help));
        }
        data(&format!("{} {done}", self.name))?;
        Ok(Exit::Done)
    }

    /// Whether it worked, and what was said.
    fn ask(&self, action: &[&str]) -> Result<(bool, String), Failed> {
        let mut command = Command::new("systemctl");
        if self.of_user {
            command.arg("--user");
        }
        let output = command.args(action).arg(format!("{}.service", self.name)).output().map_err(|error| {
            let help = "this machine has no systemd: run `serve` under its own supervisor; `service install --print` \
                        shows the unit";
            Failed::new(Exit::Failed, format!("systemctl cannot be run: {error}"), help)
        })?;
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
    }

    const fn command(&self) -> &'static str {
        if self.of_user { "systemctl --user" } else { "systemctl" }
    }

    fn unit(&self, action: &str) -> String {
        format!("{action} {}.service", self.name)
    }
}

fn installed(identity: &Identity, install: &Install) -> Result<Exit, Failed> {
    let unit = Unit::of(identity, &install.named);
    let text = unit_text(identity, install, &unit)?;
    if install.print {
        data(text.trim_end())?;
        return Ok(Exit::Done);
    }
    let file = unit.file()?;
    match fs::read_to_string(&file) {
        Ok(there) if there == text => {
            data(&format!("{} is installed already", unit.name))?;
            return Ok(Exit::Done);
        }
        Ok(_) => {
            let message = format!("{} exists and is not what this would write", file.display());
            let help = "compare with `service install --print`; `service uninstall` removes it, `--instance` names another";
            return Err(Failed::new(Exit::Failed, message, help));
        }
        Err(_) => {}
    }
    write_whole(&file, &text)?;
    let enable: &[&str] = if install.disabled { &["disable"] } else { &["enable"] };
    let enabled = unit.ask(&["daemon-reload"]).and_then(|_| unit.ask(enable));
    if let Ok((true, _)) = enabled {
        data(&format!("{} is installed: {}", unit.name, file.display()))?;
        return Ok(Exit::Done);
    }
    // Nothing is left half installed.
    let _ = fs::remove_file(&file);
    match enabled {
        Err(failed) => Err(failed),
        Ok((_, said)) => {
            let help = "see the message; nothing was installed";
            Err(Failed::new(Exit::Failed, format!("systemctl enable failed: {said}"), help))
        }
    }
}

/// Beside its place first, so that nobody sees half a unit.
fn write_whole(file: &Path, text: &str) -> Result<(), Failed> {
    let unwritable = |error: std::io::Error| {
        let help = "run it with the rights to write there: `sudo … service install`, or `--user-level`";
        Failed::new(Exit::Failed, format!("{} cannot be written: {error}", file.display()), help)
    };
    let beside = file.with_extension("service.new");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    fs::write(&beside, text).map_err(unwritable)?;
    fs::rename(&beside, file).map_err(unwritable)
}

fn uninstalled(unit: &Unit) -> Result<Exit, Failed> {
    let file = unit.file()?;
    if !file.exists() {
        data(&format!("{} is not installed", unit.name))?;
        return Ok(Exit::Done);
    }
    let (stopped, said) = unit.ask(&["disable", "--now"])?;
    if !stopped {
        return Err(Failed::new(Exit::Failed, format!("it could not be stopped: {said}"), "see the message"));
    }
    fs::remove_file(&file).map_err(|error| {
        let message = format!("{} cannot be removed: {error}", file.display());
        Failed::new(Exit::Failed, message, "run it with the rights to remove it: `sudo … service uninstall`")
    })?;
    unit.ask(&["daemon-reload"])?;
    data(&format!("{} is uninstalled", unit.name))?;
    Ok(Exit::Done)
}

fn status(unit: &Unit) -> Result<Exit, Failed> {
    let (is_active, said) = unit.ask(&["is-active"])?;
    data(&format!("{}  {said}", unit.name))?;
    Ok(if is_active { Exit::Done } else { Exit::Failed })
}

/// What a value in a unit must not hold: it would begin another line, or be taken for a specifier.
fn safe<'a>(what: &str, value: &'a str) -> Result<&'a str, Failed> {
    if value.is_empty() || value.contains(['\n', '\r', '%', '"']) {
        let help = "use letters, digits, `-`, `_`, `.` and `/`";
        return Err(Failed::new(Exit::Usage, format!("{what} `{value}` cannot stand in a unit"), help));
    }
    Ok(value)
}

fn unit_text(identity: &Identity, install: &Install, unit: &Unit) -> Result<String, Failed> {
    let program = std::env::current_exe().map_err(|error| {
        Failed::new(
            Exit::Failed,
            format!("the program's own path is unknown: {error}"),
            "name it by its full path",
        )
    })?;
    let program = safe("the path", &program.to_string_lossy())?.to_owned();
    safe("the name", &unit.name)?;
    let mut text = format!(
        "# Written by `{} service install`.\n[Unit]\nDescription={} worker\nWants=network-online.target\n\
         After=network-online.target\nStartLimitIntervalSec=0\n\n[Service]\nType=notify\nExecStart=\"{program}\" serve\n\
         Environment=APP_ENV=production\n",
        identity.name, unit.name
    );
    let mut line = |line: &str| writeln!(text, "{line}").expect("a String takes every write");
    if let Some(file) = &install.env_file {
        let readable = fs::File::open(file).map(|_| ());
        readable.map_err(|error| {
            let message = format!("the environment file {} cannot be read: {error}", file.display());
            Failed::new(
                Exit::Usage,
                message,
                "write one `NAME=value` a line into it, readable by its owner only",
            )
        })?;
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        line(&format!("EnvironmentFile={}", safe("the environment file", &file.to_string_lossy())?));
    }
    if !unit.of_user {
        match &install.user {
            Some(user) => line(&format!("User={}", safe("the user", user)?)),
            None => line("DynamicUser=yes"),
        }
    }
    line("Restart=always");
    line(&format!("RestartSec={}", install.restart_delay.as_secs_f64()));
    // A wrong command line or configuration is not mended by another try.
    line("RestartPreventExitStatus=2 3");
    // The log levels, from the file that RUST_LOG_FILE names.
    line("ExecReload=/bin/kill -HUP $MAINPID");
    line("WatchdogSec=60");
    line(&format!("TimeoutStopSec={STOP_SECONDS}"));
    text.push_str(HARDENING_OF_ALL);
    if !unit.of_user {
        text.push_str(HARDENING_OF_SYSTEM);
    }
    let target = if unit.of_user { "default.target" } else { "multi-user.target" };
    write!(text, "\n[Install]\nWantedBy={target}\n").expect("a String takes every write");
    Ok(text)
}

/// What the worker never needs: devices, other users' files, new rights, other kinds of sockets.
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

/// What a user's own manager has no rights to arrange.
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
