//! The entry point of Onward for `build.rs`: reads a folder of SQL scripts, checks it and embeds it.
//!
//! ```no_run
//! onward_build::embed("sql");
//! ```
//!
//! A folder that breaks a rule stops `cargo build`. The build reports every problem with its file, line and
//! remedy. `docs/rules.md` documents the rules.

mod emit;
mod git;
mod read;
mod report;

use std::path::{Path, PathBuf};

pub use onward_script::Dialect;
use onward_script::{CheckOptions, Checked, Known, Severity};

pub use read::read_folder;

/// Checks the PostgreSQL scripts in `folder`, a path from the package's root, and embeds them.
///
/// Call it from `build.rs`; `onward::scripts!()` then holds exactly the checked scripts. It reports all problems
/// to cargo at once: an error fails the build, a warning does not. Cargo runs the build script again when
/// anything in the folder changes, and only then.
///
/// # Panics
///
/// Outside a build script, where cargo's variables are not set, and if `OUT_DIR` cannot be written.
pub fn embed(folder: &str) {
    configure().embed(folder);
}

/// Starts a configuration, to change the defaults of [`embed`].
#[must_use]
pub fn configure() -> Build {
    Build { dialect: Dialect::Postgres }
}

/// How a folder is checked and embedded.
#[derive(Debug, Clone)]
pub struct Build {
    dialect: Dialect,
}

impl Build {
    /// The database that the scripts are written for; PostgreSQL by default.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Checks and embeds, as [`embed`] does.
    ///
    /// # Panics
    ///
    /// As [`embed`] does.
    pub fn embed(self, folder: &str) {
        let root = PathBuf::from(cargo_variable("CARGO_MANIFEST_DIR"));
        let out = Path::new(&cargo_variable("OUT_DIR")).join("onward");
        let release = cargo_variable("PROFILE") == "release";
        let options = CheckOptions { dialect: self.dialect, release, trusts_lock: true };

        report::rerun_if_changed(folder);
        let previous = emit::read(&out);
        let known =
            previous.as_ref().map_or_else(Known::default, |bundle| Known::from_bundle(bundle, self.dialect));
        let checked = check_folder(&root, folder, options, &known);
        report::findings(&checked, &program(&root));
        if let Some(history) = &checked.history {
            emit::write(&out, history);
        }
    }
}

/// Reads and checks a folder under `root`; a finding about a sealed script names the commit to restore.
#[must_use]
pub fn check_folder(root: &Path, folder: &str, options: CheckOptions, known: &Known<'_>) -> Checked {
    match read_folder(root, folder) {
        Ok(read) => {
            let mut checked = onward_script::check(&read, options, known);
            git::name_commits(root, &read, &mut checked.findings);
            checked
        }
        Err(finding) => {
            debug_assert_eq!(finding.severity, Severity::Error);
            Checked { history: None, findings: vec![finding], sources: Default::default() }
        }
    }
}

/// What a person runs: an app has the commands itself, any other package uses `cargo onward`.
fn program(root: &Path) -> String {
    // Without the manifest cargo would not have come here.
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let is_app = manifest.lines().map(str::trim).any(|line| {
        line.strip_prefix("onward").is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
            || line == "[dependencies.onward]"
    });
    if is_app { cargo_variable("CARGO_PKG_NAME") } else { "cargo onward".to_owned() }
}

fn cargo_variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: call `onward_build::embed` from a build script"))
}

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
