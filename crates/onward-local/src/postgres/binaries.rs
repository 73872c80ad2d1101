use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// Finds the folder with `initdb`, `postgres` and `pg_ctl`.
///
/// `ONWARD_POSTGRES_BIN` names the folder. Without this variable, the search covers PATH, the folder that
/// `pg_config` prints, and the usual folders of each system.
///
/// # Errors
///
/// If there is no such folder; the error names the commands that install the binaries.
pub fn find_binaries() -> Result<PathBuf, Error> {
    if let Some(chosen) = std::env::var_os("ONWARD_POSTGRES_BIN") {
        let chosen = PathBuf::from(chosen);
        return if is_complete(&chosen) { Ok(chosen) } else { Err(no_binaries()) };
    }
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let said = Command::new("pg_config").arg("--bindir").output().ok().and_then(|output| {
        output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    });
    let mut candidates = std::env::split_paths(&on_path).chain(said).chain(usual_places());
    candidates.find(|folder| is_complete(folder)).ok_or_else(no_binaries)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_ctl"]
        .iter()
        .all(|name| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)).is_file())
}

fn no_binaries() -> Error {
    Error::new(
        "no PostgreSQL binaries (initdb, postgres, pg_ctl) on this machine",
        "install them (Debian: `apt-get install postgresql`, Red Hat: `dnf install postgresql-server`, macOS: \
         `brew install postgresql@17`), name their folder in ONWARD_POSTGRES_BIN, start Docker or Podman, or set DATABASE_URL to a \
         database of your own",
    )
}

/// The folders where distributions and installers put the binaries, the newest version first.
fn usual_places() -> Vec<PathBuf> {
    const VERSIONED: &[(&str, &str)] = &[
        ("/usr/lib/postgresql", "bin"),
        ("/usr/pgsql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ("C:\\Program Files\\PostgreSQL", "bin"),
    ];
    let mut places = Vec::new();
    for (parent, bin) in VERSIONED {
        // Red Hat has sibling folders such as pgsql-17; the others have one folder for each version.
        let (folder, prefix) = match *parent {
            "/usr/pgsql" => (Path::new("/usr"), "pgsql-"),
            "/opt/homebrew/opt" | "/usr/local/opt" => (Path::new(*parent), "postgresql"),
            parent => (Path::new(parent), ""),
        };
        let mut found: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path().join(bin))
            .collect();
        let version = |path: &PathBuf| -> u32 {
            let digits: String = path.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        found.sort_by_key(|path| std::cmp::Reverse(version(path)));
        places.extend(found);
    }
    places
}
