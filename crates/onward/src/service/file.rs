//! Service definitions in files: units for systemd, property lists for launchd.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::report;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// Writes a definition and enables it in the service manager, or only shows it. It does not overwrite an edited file and
/// does not take the name of another service. If the manager refuses the definition, it removes the file.
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
            let message = format!("{} exists, and its text differs from this definition", file.display());
            let help = "compare it with `service install --print`; remove it with `service uninstall`, \
                        or choose another name with `--instance`";
            return Err(CommandError::new(Exit::Failed, message, help));
        }
        Err(_) if is_taken()? => {
            let message = format!("the name {name} belongs to another service");
            return Err(CommandError::new(
                Exit::Failed,
                message,
                "choose another name with `--name` or `--instance`",
            ));
        }
        Err(_) => write(file, text)?,
    }
    let refused = match enable() {
        Ok((true, _)) => return report(name, &format!("is installed: {}", file.display())),
        Ok((false, said)) => {
            let message = format!("the service manager refuses the definition of {name}: {said}");
            CommandError::new(Exit::Failed, message, "correct what the message names; nothing was installed")
        }
        Err(failed) => failed,
    };
    remove(file)?;
    Err(refused)
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    let unwritable = |error: std::io::Error| {
        let help =
            "run the command with the right to write there: `sudo … service install`, or use `--user-level`";
        CommandError::new(Exit::Failed, format!("{} cannot be written: {error}", file.display()), help)
    };
    // Writes a second file and renames it, so that no reader sees an incomplete definition.
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, file)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        unwritable(error)
    })
}

pub(super) fn remove(file: &Path) -> Result<(), CommandError> {
    fs::remove_file(file).map_err(|error| {
        let help = "run the command with the right to remove it: `sudo … service uninstall`";
        CommandError::new(Exit::Failed, format!("{} cannot be removed: {error}", file.display()), help)
    })
}

/// Runs a command of the service manager. Returns whether it succeeded, and its output.
pub(super) fn ask(command: &mut Command) -> Result<(bool, String), CommandError> {
    let output = command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy();
        let help = "without this program, run `serve` under a supervisor of your own; \
                    `service install --print` shows the settings that it needs";
        CommandError::new(Exit::Failed, format!("{program} cannot be run: {error}"), help)
    })?;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}
