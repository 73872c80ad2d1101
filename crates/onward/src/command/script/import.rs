//! `script import`: the scripts of another migration tool as a history of Onward.

use std::fs;
use std::io;
use std::path::Path;

use onward_script::import::{Imported, Role, Tool, import};
use onward_script::{Dialect, FileName, Severity, render};

use super::project::{Project, text};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

impl Project<'_> {
    /// Writes the scripts of another tool into the folder, as drafts, and says what the rules find in them.
    pub(super) fn import(&self, tool: Tool, from: &Path) -> Result<Exit, CommandError> {
        let target = self.root.join(self.folder);
        let imported = read(tool, self.options.dialect, from)?;
        require_empty(&target)?;
        fs::create_dir_all(&target).map_err(|error| {
            let message = format!("{} cannot be created: {error}", target.display());
            CommandError::new(Exit::Failed, message, "correct the owner and permissions of the folder")
        })?;
        for script in &imported.scripts {
            self.write(&script.name, &script.text)?;
            data(&format!("{}/{}  {}", self.folder, script.name, script.was))?;
        }
        for (file, reason) in &imported.left_out {
            note(&format!("left out {file}: {reason}"));
        }
        let checked = self.checked(false);
        let findings = checked.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let findings: Vec<_> = findings.map(|finding| text(&checked, finding)).collect();
        if findings.is_empty() {
            note(
                "build the app, seal the scripts with `script seal`, then take the databases over: `adopt --from auto`",
            );
            return Ok(Exit::Done);
        }
        let message = format!("the scripts are written, and not all pass the rules\n{}", findings.join("\n"));
        let help =
            "correct them in the folder: the databases that ran them are not touched; then `script check`";
        Err(CommandError::new(Exit::Failed, message, help))
    }
}

/// Reads the folder of the other tool and gives its scripts their new names.
fn read(tool: Tool, dialect: Dialect, folder: &Path) -> Result<Imported, CommandError> {
    let by_hand = |what: &str| {
        let help = "write the present schema as one baseline: see \"Coming from another migration tool\" in the documentation";
        Err(CommandError::new(Exit::Usage, format!("{tool} keeps {what}, which cannot be imported"), help))
    };
    match tool {
        Tool::Ef => return by_hand("its migrations in C#"),
        Tool::Liquibase => return by_hand("its change sets in a format of its own"),
        _ => {}
    }
    let mut files = Vec::new();
    walk(tool, folder, folder, &mut files).map_err(|error| {
        let message = format!("{} cannot be read: {error}", folder.display());
        CommandError::new(Exit::Usage, message, "name the folder of the other tool's scripts")
    })?;
    let imported = import(tool, dialect, &files).map_err(|findings| {
        let source = |file: &str| {
            let found = files.iter().find(|(path, _)| path == file);
            found.map(|(_, bytes)| String::from_utf8_lossy(bytes).replace("\r\n", "\n"))
        };
        let shown = findings.iter().map(|finding| render::render(finding, source(&finding.file).as_deref()));
        let message = format!("nothing was imported\n{}", shown.collect::<Vec<_>>().join("\n"));
        CommandError::new(Exit::Failed, message, "correct them in a copy of the folder, and import that")
    })?;
    if imported.scripts.is_empty() {
        let message = format!("{} holds no script of {tool}", folder.display());
        let help = "name the folder that the tool reads, and the tool that wrote it";
        return Err(CommandError::new(Exit::Usage, message, help));
    }
    Ok(imported)
}

/// Nothing that is there may be replaced.
fn require_empty(folder: &Path) -> Result<(), CommandError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| {
            let message = format!("{} cannot be read: {error}", folder.display());
            CommandError::new(Exit::Failed, message, "correct its permissions")
        })?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if FileName::parse(&name) != FileName::Ignored {
            let message =
                format!("{} already holds {name}, and an import begins a history", folder.display());
            let help = "remove the starter's scripts and locks from the folder, then import again";
            return Err(CommandError::new(Exit::Failed, message, help));
        }
    }
    Ok(())
}

/// The scripts below a folder and what else the tool reads there, by their path in it with `/`.
fn walk(tool: Tool, root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let kind = fs::metadata(&path).map_err(named)?;
        if kind.is_dir() {
            walk(tool, root, &path, files)?;
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let relative = parts.join("/");
        // A pipe would be waited for.
        if kind.is_file()
            && (relative.to_ascii_lowercase().ends_with(".sql") || tool.role(&relative) != Role::Other)
        {
            files.push((relative, fs::read(&path).map_err(named)?));
        }
    }
    Ok(())
}
