//! The app as a systemd, launchd or Windows service.

#[cfg(unix)]
mod file;
#[cfg(any(target_os = "macos", test))]
#[cfg(unix)]
mod launchd;
#[cfg(all(unix, not(target_os = "macos")))]
mod systemd;
#[cfg(windows)]
pub(crate) mod windows;

#[cfg(target_os = "macos")]
use launchd as manager;
#[cfg(all(unix, not(target_os = "macos")))]
use systemd as manager;
#[cfg(windows)]
use windows as manager;

use std::path::Path;

use crate::cli::{Named, Service};
use crate::config::identity::Identity;
use crate::config::settings::Settings;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// How long the service manager waits for a stop: longer than the grace, the open poll and the last deletes together.
const STOP_SECONDS: u64 = 90;

pub(crate) fn run(settings: &Settings, identity: &Identity, command: &Service) -> Result<Exit, CommandError> {
    let of = |named: &Named| manager::Service::of(name(identity, named)?, named.user_level);
    match command {
        Service::Install(install) => {
            of(&install.named)?.install(identity, install, settings.env_file.as_deref())
        }
        Service::Uninstall(named) => of(named)?.uninstall(),
        Service::Start(named) => of(named)?.start(),
        Service::Stop(named) => of(named)?.stop(),
        Service::Restart(named) => of(named)?.restart(),
        Service::Status(named) => of(named)?.status(),
        #[cfg(windows)]
        Service::Run(_) => unreachable!("the app has run it as a service, not as a command"),
    }
}

/// The name of the service.
pub(crate) fn name(identity: &Identity, named: &Named) -> Result<String, CommandError> {
    let name = named.name.as_ref().unwrap_or(&identity.name);
    let name = match &named.instance {
        Some(instance) => format!("{name}-{instance}"),
        None => name.clone(),
    };
    // The name is also the name of a file.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
        let help = "use letters, digits, `-`, `_` and `.`, and begin with a letter or digit";
        return Err(CommandError::new(Exit::Usage, format!("a service cannot be called `{name}`"), help));
    }
    Ok(name)
}

/// Checks a value for a definition: it must not begin a new line or contain a character with a special meaning.
fn safe<'a>(what: &str, value: &'a str) -> Result<&'a str, CommandError> {
    if value.is_empty() || value.contains(['\n', '\r', '%', '"', '\0']) {
        let help = "use letters, digits, `-`, `_`, `.` and `/`";
        return Err(CommandError::new(
            Exit::Usage,
            format!("{what} `{value}` cannot be a part of a service's definition"),
            help,
        ));
    }
    Ok(value)
}

/// The path of this program, which the service runs.
fn program() -> Result<String, CommandError> {
    let program = std::env::current_exe().map_err(|error| {
        let help = "start the program by its full path";
        CommandError::new(Exit::Failed, format!("the program's own path is unknown: {error}"), help)
    })?;
    Ok(safe("the path", &program.to_string_lossy())?.to_owned())
}

/// The full path of the environment file.
fn full_path(env_file: &Path) -> Result<String, CommandError> {
    let file = std::path::absolute(env_file).unwrap_or_else(|_| env_file.to_owned());
    Ok(safe("the environment file", &file.to_string_lossy())?.to_owned())
}

/// Waits a moment before the next question to a service manager that has no event for the answer.
#[cfg(any(target_os = "macos", windows, test))]
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn moment() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// Fails if the service is not installed.
#[cfg(unix)]
fn is_installed(name: &str, file: &Path) -> Result<(), CommandError> {
    if file.exists() {
        return Ok(());
    }
    Err(CommandError::new(
        Exit::Failed,
        format!("there is no service {name}"),
        "`service install` installs it",
    ))
}

/// Prints the new state of the service.
fn report(name: &str, what: &str) -> Result<Exit, CommandError> {
    data(&format!("{name} {what}"))?;
    Ok(Exit::Done)
}
