//! A scratch database as SQL, by `pg_dump`.

use std::path::PathBuf;
use std::process::Command;

use crate::process::exit::{CommandError, Exit};
use crate::scratch::ScratchDatabase;

/// What a dump holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Schema,
    SchemaAndData,
}

/// Dumps the database without its journal, owners and grants.
pub(crate) fn pg_dump(scratch: &ScratchDatabase, content: Content) -> Result<String, CommandError> {
    let failed = |reason: &str| {
        let help =
            "install the PostgreSQL client programs of the server's version (Debian: `postgresql-client`)";
        CommandError::new(
            Exit::Failed,
            format!("pg_dump of {} failed: {}", scratch.name(), reason.trim()),
            help,
        )
    };
    let mut command = Command::new(program());
    command.args([
        "--inserts",
        "--no-owner",
        "--no-privileges",
        "--exclude-table=schema_journal",
        "--exclude-table=schema_always",
    ]);
    if content == Content::Schema {
        command.arg("--schema-only");
    }
    // A file passes the password, because every user of the machine can see a command line.
    command.envs(scratch.server.iter().map(|server| ("PGPASSFILE", server.passfile())));
    command.arg("--dbname").arg(scratch.url.to_string());
    let output = command.output().map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    // Leaves out psql's own commands, because Onward sends the text directly to the server, and the versions of the programs.
    let text = String::from_utf8_lossy(&output.stdout);
    let is_kept = |line: &&str| !line.starts_with('\\') && !line.starts_with("-- Dumped ");
    let lines: Vec<_> = text.lines().filter(is_kept).collect();
    Ok(format!("{}\n", lines.join("\n").trim()))
}

/// The pg_dump beside the server's binaries, or else the one of the PATH.
fn program() -> PathBuf {
    let name = format!("pg_dump{}", std::env::consts::EXE_SUFFIX);
    let server =
        onward_local::find_binaries().ok().and_then(|folder| folder.join("postgres").canonicalize().ok());
    let beside = server.and_then(|server| Some(server.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name))
}
