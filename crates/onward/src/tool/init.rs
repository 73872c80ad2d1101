//! `cargo onward init`: a project of one's own.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use onward_script::Dialect;

use super::template::{File, Source, Wanted, files};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// The options of `init`.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The folder of the new project
    folder: PathBuf,
    /// The name of its package and its binary; by default that of the folder
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where the project gets Onward from: a version, the URL of a repository, or the folder of a checkout
    #[arg(long, value_name = "SOURCE", default_value = env!("CARGO_PKG_VERSION"))]
    onward: String,
}

pub(super) fn run(init: &Init, dialect: Dialect) -> Result<Exit, CommandError> {
    let Init { folder, name, onward } = init;
    let name = name.clone().unwrap_or_else(|| name_of(folder));
    let name = name.as_str();
    check_name(name)?;
    check_folder(folder)?;
    let source = source(onward)?;
    let files = files(&Wanted { name, dialect, source: &source }).map_err(CommandError::fault)?;
    write_all(folder, &files).map_err(|error| unwritable(folder, &error))?;
    let repository = match begin_repository(folder) {
        true => ", in a new git repository",
        false => "",
    };
    data(&format!(
        "made {name} in {}: {} files{repository}\n\n  cd {}\n  cargo run\n\nIts README.md says the rest.",
        folder.display(),
        files.len(),
        folder.display()
    ))?;
    Ok(Exit::Done)
}

/// The last part of a folder's path, also of `.`.
fn name_of(folder: &Path) -> String {
    let whole = folder.canonicalize();
    let named = folder.file_name().or_else(|| whole.as_ref().ok()?.file_name());
    named.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Cargo's rules for the name of a package, and none of the names that it refuses for a binary.
/// <https://doc.rust-lang.org/cargo/reference/manifest.html#the-name-field>
fn check_name(name: &str) -> Result<(), CommandError> {
    let refused = |why: &str| {
        let help = "choose another one with `--name`: letters, digits, `-` and `_`, for example `shop`";
        Err(CommandError::new(Exit::Usage, format!("`{name}` cannot be the name of a package: {why}"), help))
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match name {
        "" => refused("it is empty"),
        name if !name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            refused("it does not begin with a letter")
        }
        name if !name.chars().all(is_part) => refused("it has a character that no name may have"),
        name if name.len() > 64 => refused("it is longer than 64 characters"),
        name if RESERVED.contains(&name) => refused("Rust or cargo uses it already"),
        _ => Ok(()),
    }
}

/// Keywords, the crates that every build has, the folders of a build, and the crates that the project depends on.
const RESERVED: [&str; 50] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "onward",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "type",
    "use",
    "while",
];

fn check_folder(folder: &Path) -> Result<(), CommandError> {
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(unwritable(folder, &error)),
    };
    if is_free {
        return Ok(());
    }
    let message = format!("{} is not empty", folder.display());
    Err(CommandError::new(Exit::Usage, message, "name a folder that is not there yet; nothing was written"))
}

fn source(text: &str) -> Result<Source, CommandError> {
    if text.contains("://") {
        return Ok(Source::Git(text.to_owned()));
    }
    // Cargo takes no address in the short form of ssh.
    if let Some((host, path)) = text.strip_prefix("git@").and_then(|address| address.split_once(':')) {
        return Ok(Source::Git(format!("ssh://git@{host}/{path}")));
    }
    let folder = Path::new(text);
    if folder.is_dir() {
        let checkout = folder.canonicalize().map_err(|error| unwritable(folder, &error))?;
        if checkout.join("crates/onward/Cargo.toml").is_file() {
            return Ok(Source::Folder(plain(checkout)));
        }
        let message = format!("{} is no checkout of Onward: it has no crates/onward", folder.display());
        return Err(CommandError::new(Exit::Usage, message, "name the root of the checkout"));
    }
    if text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
    {
        return Ok(Source::Version(text.to_owned()));
    }
    let message = format!("--onward is `{text}`, which is no version, no URL and no folder");
    Err(CommandError::new(Exit::Usage, message, "write it as 0.1.0, https://… or ../onward"))
}

/// Windows names a folder in a form that cargo does not read in a manifest.
fn plain(folder: PathBuf) -> PathBuf {
    match folder.to_str().and_then(|text| text.strip_prefix(r"\\?\")) {
        Some(text) => PathBuf::from(text),
        None => folder,
    }
}

/// Writes the files into a folder of their own first, so that a disk that is full leaves nothing behind. It lies where they go to: to
/// another file system nothing can be renamed.
fn write_all(folder: &Path, files: &[File]) -> Result<(), Error> {
    let is_there = folder.is_dir();
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = if is_there { folder } else { parent };
    fs::create_dir_all(beside)?;
    let unfinished = tempfile::Builder::new().prefix(".onward-init-").tempdir_in(beside)?;
    // The folder of a temporary file is its owner's alone.
    let project = unfinished.path().join("project");
    for File { path, text, is_executable } in files {
        let file = project.join(path);
        fs::create_dir_all(file.parent().unwrap_or(&project))?;
        fs::write(&file, text)?;
        if *is_executable {
            make_executable(&file)?;
        }
    }
    if !is_there {
        return fs::rename(&project, folder);
    }
    for entry in fs::read_dir(&project)? {
        let entry = entry?;
        fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<(), Error> {
    Ok(())
}

/// Makes a git repository of the folder, unless it lies in one or there is no git.
fn begin_repository(folder: &Path) -> bool {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(arguments);
        git.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|it| it.success())
    };
    !git(&["rev-parse", "--is-inside-work-tree"]) && git(&["init", "--quiet"])
}

fn unwritable(folder: &Path, error: &Error) -> CommandError {
    let message = format!("{} cannot be written: {error}", folder.display());
    CommandError::new(Exit::Failed, message, "correct what the message names, and run it again")
}
