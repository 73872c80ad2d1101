//! Definitions of services that are files: systemd's units, launchd's property lists.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::report;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// Writes a definition and has the manager take it over, or shows it. What somebody has edited is not written over, a name
/// that something else has is not taken, and what the manager refuses is not left behind.
pub(super) fn install(
    name: &str,
    file: &Path,
    text: &str,
    only_show: bool,
    is_taken: impl FnOnce() -> Result<bool, CommandError>,
    enable: impl FnOnce() -> Result<(bool, String), CommandError>,
) -> Result<Exit, CommandError> {
    if only_show {
        data(text.trim_end())?;
        return Ok(Exit::Done);
    }
    match fs::read_to_string(file) {
        Ok(there) if there == text => return report(name, "is installed already"),
        Ok(_) => {
            let message = format!("{} exists and is not what this would write", file.display());
            let help = "compare with `service install --print`; `service uninstall` removes it, `--instance` names another";
            return Err(CommandError::new(Exit::Failed, message, help));
        }
        Err(_) if is_taken()? => {
            let message = format!("there is a service {name} that is something else");
            return Err(CommandError::new(
                Exit::Failed,
                message,
                "give this one another name: `--name`, `--instance`",
            ));
        }
        Err(_) => write(file, text)?,
    }
    let refused = match enable() {
        Ok((true, _)) => return report(name, &format!("is installed: {}", file.display())),
        Ok((false, said)) => {
            let message = format!("the service manager does not take it: {said}");
            CommandError::new(Exit::Failed, message, "see the message; nothing was installed")
        }
        Err(failed) => failed,
    };
    remove(file)?;
    Err(refused)
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    let unwritable = |error: std::io::Error| {
        let help = "run it with the rights to write there: `sudo … service install`, or `--user-level`";
        CommandError::new(Exit::Failed, format!("{} cannot be written: {error}", file.display()), help)
    };
    // Beside its place first, so that nobody sees half of it.
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, file)).map_err(|error| {
        let _ = fs::remove_file(&beside);
        unwritable(error)
    })
}

pub(super) fn remove(file: &Path) -> Result<(), CommandError> {
    fs::remove_file(file).map_err(|error| {
        let help = "run it with the rights to remove it: `sudo … service uninstall`";
        CommandError::new(Exit::Failed, format!("{} cannot be removed: {error}", file.display()), help)
    })
}

/// Asks a manager's own command: whether it worked, and what it said.
pub(super) fn ask(command: &mut Command) -> Result<(bool, String), CommandError> {
    let output = command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        let help = "without it run `serve` under a supervisor of your own; `service install --print` shows what one has \
                    to know";
        CommandError::new(Exit::Failed, format!("{program} cannot be run: {error}"), help)
    })?;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}
