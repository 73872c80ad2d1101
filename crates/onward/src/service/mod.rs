//! The app as a service of its system: of systemd, of launchd, or of Windows' service control manager.

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

/// Above the longest drain: the grace, the open poll, and the last deletes.
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
        Service::Run(_) => unreachable!("it has been run instead of a command"),
    }
}

/// What the service is called.
pub(crate) fn name(identity: &Identity, named: &Named) -> Result<String, CommandError> {
    let name = named.name.as_ref().unwrap_or(&identity.name);
    let name = match &named.instance {
        Some(instance) => format!("{name}-{instance}"),
        None => name.clone(),
    };
    // A name is a file's name, too.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
        let help = "use letters, digits, `-`, `_` and `.`, and begin with a letter or digit";
        return Err(CommandError::new(Exit::Usage, format!("a service cannot be called `{name}`"), help));
    }
    Ok(name)
}

/// A value for a definition: it must not begin another line of it, nor be taken for something else.
fn safe<'a>(what: &str, value: &'a str) -> Result<&'a str, CommandError> {
    if value.is_empty() || value.contains(['\n', '\r', '%', '"', '\0']) {
        let help = "use letters, digits, `-`, `_`, `.` and `/`";
        return Err(CommandError::new(
            Exit::Usage,
            format!("{what} `{value}` cannot stand in a service's definition"),
            help,
        ));
    }
    Ok(value)
}

/// The program that is installed: this one.
fn program() -> Result<String, CommandError> {
    let program = std::env::current_exe().map_err(|error| {
        let help = "name it by its full path";
        CommandError::new(Exit::Failed, format!("the program's own path is unknown: {error}"), help)
    })?;
    Ok(safe("the path", &program.to_string_lossy())?.to_owned())
}

/// The environment file, which has been read, by its full path.
fn full_path(env_file: &Path) -> Result<String, CommandError> {
    let file = std::path::absolute(env_file).unwrap_or_else(|_| env_file.to_owned());
    Ok(safe("the environment file", &file.to_string_lossy())?.to_owned())
}

/// The moment after which a manager that has no event for it is asked again.
#[cfg(any(target_os = "macos", windows, test))]
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn moment() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

/// What is not there can be neither started nor stopped.
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

/// Prints what has become of the service.
fn report(name: &str, what: &str) -> Result<Exit, CommandError> {
    data(&format!("{name} {what}"))?;
    Ok(Exit::Done)
}
