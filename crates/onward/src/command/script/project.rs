use std::fs;
use std::path::{Path, PathBuf};

use onward_build::check_folder;
use onward_script::{CheckOptions, Checked, Finding, History, Known, LOCK_FILE, Lock, render};

use crate::process::exit::{CommandError, Exit};
use crate::process::program;

/// A folder of scripts in its present state.
pub(crate) struct Project<'a> {
    pub root: &'a Path,
    pub folder: &'a str,
    pub options: CheckOptions,
}

impl Project<'_> {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(self.folder).join(name)
    }

    pub(super) fn checked(&self, release: bool) -> Checked {
        let options = CheckOptions { release, ..self.options };
        let mut checked = check_folder(self.root, self.folder, options, &Known::default());
        for finding in &mut checked.findings {
            *finding = finding.of_program(program::name());
        }
        checked
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), CommandError> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| {
            let message = format!("{} cannot be written: {error}", path.display());
            CommandError::new(Exit::Failed, message, "correct the owner and permissions of the folder")
        })
    }

    /// The scripts in the folder now, which may be newer than the embedded ones.
    pub(crate) fn history(&self) -> Result<History, CommandError> {
        self.checked(false).history.ok_or_else(|| {
            CommandError::new(Exit::Failed, "the scripts do not pass the rules", "run `app script check`")
        })
    }

    pub(super) fn lock(&self) -> Result<Lock, CommandError> {
        match fs::read_to_string(self.path(LOCK_FILE)) {
            Ok(text) => Lock::parse(&text).map_err(|(line, message)| {
                let place = format!("{}/{LOCK_FILE}:{line}: {message}", self.folder);
                CommandError::new(Exit::Failed, place, "restore it with git")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
            Err(error) => {
                let message = format!("{}/{LOCK_FILE} cannot be read: {error}", self.folder);
                Err(CommandError::new(Exit::Failed, message, "correct its permissions"))
            }
        }
    }
}

/// A finding for a person.
pub(super) fn text(checked: &Checked, finding: &Finding) -> String {
    render::render(finding, checked.sources.get(&finding.file).map(String::as_str))
}
