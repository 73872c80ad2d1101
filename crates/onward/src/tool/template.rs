//! The files of a new project: those of the starter, and those that carry its name.

use std::path::PathBuf;

use minijinja::{Environment, context};
use onward_script::Dialect;

/// The files that a project shares with the starter. A test of the starter writes it: `UPDATE_DOCS=1 cargo test --test moments template`.
const SHARED: &str = include_str!("template/files.txt");

/// What comes before the path of a file in [`SHARED`].
const MARK: &str = "\n=== ";

const OF_POSTGRES: &str = "postgres/";
const OF_SQL_SERVER: &str = "sqlserver/";

/// What differs from project to project.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub dialect: Dialect,
    pub source: &'a Source,
}

/// Where the project gets Onward from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Version(String),
    Git(String),
    /// A checkout.
    Folder(PathBuf),
}

impl Source {
    /// A crate of it, as a dependency in a manifest.
    fn dependency(&self, name: &str) -> String {
        // A TOML string has the escapes of JSON for all that a path or an address can have.
        match self {
            Self::Version(version) => format!("version = {}", quoted(version)),
            Self::Git(url) => format!("git = {}", quoted(url)),
            Self::Folder(folder) => {
                format!("path = {}", quoted(&folder.join("crates").join(name).to_string_lossy()))
            }
        }
    }

    /// The command that installs `cargo onward` of it.
    fn install(&self) -> String {
        match self {
            Self::Version(version) => format!("cargo install --locked cargo-onward@{version}"),
            Self::Git(url) => format!("cargo install --locked --git '{url}' cargo-onward"),
            Self::Folder(folder) => {
                format!(
                    "cargo install --locked --path '{}'",
                    folder.join("crates").join("cargo-onward").display()
                )
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A file of a project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// From the project's folder, with `/`.
    pub path: String,
    pub text: String,
    pub is_executable: bool,
}

/// All files of a project. An error is one of Onward itself.
pub(super) fn files(wanted: &Wanted<'_>) -> Result<Vec<File>, minijinja::Error> {
    let (database, own, others) = match wanted.dialect {
        Dialect::Postgres => ("postgres", OF_POSTGRES, OF_SQL_SERVER),
        Dialect::SqlServer => ("sqlserver", OF_SQL_SERVER, OF_POSTGRES),
    };
    let shared = SHARED.strip_suffix('\n').unwrap_or(SHARED).split(MARK);
    let shared = shared.skip(1).filter_map(|file| file.split_once('\n'));
    let shared = shared.filter(|(path, _)| !path.starts_with(others));
    let plain =
        |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned(), is_executable: false };
    // The separator has taken the last line's end.
    let shared =
        shared.map(|(path, text)| plain(path.strip_prefix(own).unwrap_or(path), &format!("{text}\n")));
    let mut files: Vec<_> = shared.collect();
    let values = context! {
        name => wanted.name,
        database => database,
        onward => wanted.source.dependency("onward"),
        onward_build => wanted.source.dependency("onward-build"),
    };
    let environment = Environment::new();
    for (path, text) in [
        ("Cargo.toml", include_str!("template/Cargo.toml.jinja")),
        ("README.md", include_str!("template/README.md.jinja")),
    ] {
        // It takes the last line's end away.
        files.push(plain(path, &(environment.render_str(text, &values)? + "\n")));
    }
    // It has braces of its own, so it is no template of the engine.
    let ci = include_str!("template/ci.yml").replace("@DIALECT@", database);
    files.push(plain(".github/workflows/ci.yml", &ci.replace("@INSTALL@", &wanted.source.install())));
    files.push(plain(".gitignore", include_str!("template/gitignore")));
    files.push(plain(".gitattributes", include_str!("template/gitattributes")));
    let hook = plain(".githooks/pre-commit", include_str!("template/pre-commit"));
    files.push(File { is_executable: true, ..hook });
    Ok(files)
}
