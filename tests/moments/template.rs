//! What `cargo onward init` makes of the starter: its archive is current.

use std::fs;
use std::path::Path;

use crate::tidy::root;

/// Files that a project on either database has as they are.
const SHARED: [&str; 5] = [".dockerignore", "Dockerfile", "rustfmt.toml", "src/http.rs", "src/main.rs"];

/// Files that differ by database, in the starter and in its copy on SQL Server.
const BY_DATABASE: [&str; 3] = ["build.rs", "src/deliver.rs", "tests/scripts.rs"];

const ARCHIVE: &str = "crates/onward/src/tool/template/files.txt";

/// The paths of all files in a folder, in order.
fn below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(root().join(folder)).expect("is there").flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("is UTF-8"));
        match entry.path().is_dir() {
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Adds a file of the starter under its path in the archive.
fn add(archive: &mut String, from: &Path, path: &str) {
    let text = fs::read_to_string(root().join(from)).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.ends_with('\n') && !text.lines().any(|line| line.starts_with("=== ")), "{path}");
    archive.push_str(&format!("=== {path}\n{text}"));
}

#[test]
fn the_archive_of_a_new_project_is_current() {
    let mut archive = String::from(
        "The files that a new project has from the starter. Do not edit: UPDATE_DOCS=1 cargo test --test moments template\n",
    );
    for path in SHARED.into_iter().map(str::to_owned).chain(below("deploy")) {
        add(&mut archive, Path::new(&path), &path);
    }
    for (database, folder) in [("postgres", ""), ("sqlserver", "examples/sqlserver/")] {
        let scripts = below(&format!("{folder}sql"));
        let scripts = scripts.iter().map(|path| path.strip_prefix(folder).expect("lies in it"));
        for path in BY_DATABASE.into_iter().chain(scripts) {
            add(&mut archive, Path::new(&format!("{folder}{path}")), &format!("{database}/{path}"));
        }
    }
    let file = root().join(ARCHIVE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &archive).expect("is writable");
    }
    let known = fs::read_to_string(&file).expect("is there");
    assert!(known == archive, "{ARCHIVE} is outdated: run UPDATE_DOCS=1 cargo test --test moments template");
}
