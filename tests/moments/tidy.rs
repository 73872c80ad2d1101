//! The invariants of ARCHITECTURE.md, as far as a machine can check them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{circles, imports};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The files of a crate that name something in their code.
fn files_naming(package: &str, word: &str) -> Vec<String> {
    let folder = root().join("crates").join(package).join("src");
    let mut files: Vec<_> = sources(&folder)
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("is readable");
            text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//"))
        })
        .map(|path| path.strip_prefix(&folder).expect("is inside").display().to_string())
        .collect();
    files.sort();
    files
}

#[test]
fn dependencies_flow_one_way() {
    let allowed: &[(&str, &[&str])] = &[
        ("onward-script", &[]),
        ("onward-worker", &[]),
        ("onward-local", &[]),
        ("cargo-onward", &["onward", "onward-local"]),
        ("onward-macros", &[]),
        ("onward-build", &["onward-script"]),
        ("onward-migrate", &["onward-script", "onward-local"]),
        (
            "onward",
            &[
                "onward-build",
                "onward-local",
                "onward-macros",
                "onward-migrate",
                "onward-script",
                "onward-worker",
            ],
        ),
    ];
    for (package, allowed) in allowed {
        let manifest = root().join("crates").join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("is there");
        let named = manifest.lines().filter(|line| line.starts_with("onward"));
        for name in named.filter_map(|line| line.split([' ', '=', '.']).next()) {
            assert!(allowed.contains(&name), "{package} imports {name}");
        }
    }
}

const PACKAGES: [&str; 6] =
    ["onward", "onward-build", "onward-local", "onward-migrate", "onward-script", "onward-worker"];

#[test]
fn no_two_files_import_each_other() {
    for package in PACKAGES {
        let circles = circles(&imports(package));
        assert!(
            circles.is_empty(),
            "{package}: move the names that both need into a file below: {circles:#?}"
        );
    }
}

/// The rooms of the app, from the lowest to the highest; each imports only those before it.
const ROOMS: [&str; 24] = [
    "options",
    "cli",
    "process",
    "config",
    "database",
    "upgrade",
    "drafts",
    "scripts",
    "scratch",
    "telemetry",
    "service",
    "queue",
    "letters",
    "handler",
    "transaction",
    "inbox",
    "outbox",
    "schedule",
    "checks",
    "console",
    "serve",
    "testing",
    "command",
    "tool",
];

#[test]
fn a_room_imports_only_rooms_below_it() {
    let room = |file: &str| file.split(['/', '.']).next().unwrap_or_default().to_owned();
    let height = |room: &str| ROOMS.iter().position(|known| *known == room);
    for (file, imported) in imports("onward") {
        let from = room(&file);
        if ["app", "lib"].contains(&from.as_str()) {
            continue;
        }
        assert!(height(&from).is_some(), "{file} is in no room that is listed here");
        for other in imported {
            let to = room(&other);
            assert!(from == to || height(&to) < height(&from), "{file} imports {other}, which is above it");
        }
    }
}

#[test]
fn a_driver_is_named_in_its_folder_only() {
    let outside = |package: &str, driver: &str, folders: &[&str]| -> Vec<String> {
        let files = files_naming(package, driver).into_iter();
        files.filter(|file| !folders.iter().any(|folder| file.starts_with(folder))).collect()
    };
    let nowhere: [&str; 0] = [];
    assert_eq!(outside("onward-migrate", "tokio_postgres", &["postgres/"]), nowhere);
    assert_eq!(outside("onward-migrate", "tiberius", &["sqlserver/"]), nowhere);
    assert_eq!(outside("onward-migrate", "refinery::", &["bridge.rs", "journal.rs", "runner.rs"]), nowhere);
    assert_eq!(outside("onward-worker", "aws_sdk_sqs", &["queue/sqs/"]), nowhere);
    let tables = ["inbox/table.rs", "outbox/table.rs", "schedule/table.rs"];
    let app = [&["database/", "lib.rs", "transaction/postgres.rs"][..], &tables].concat();
    assert_eq!(outside("onward", "tokio_postgres", &app), nowhere);
    let app = [&["database/", "transaction/sqlserver.rs", "telemetry/log.rs"][..], &tables].concat();
    assert_eq!(outside("onward", "tiberius", &app), nowhere);
}

#[test]
fn libraries_read_no_environment() {
    for package in ["onward-script", "onward-migrate"] {
        assert_eq!(files_naming(package, "env::var"), [""; 0], "{package}");
    }
    // Only where a program asks for it: `Sqs::from_env`.
    assert_eq!(files_naming("onward-worker", "env::var"), ["queue/sqs/env.rs"]);
}

#[test]
fn the_starter_is_short() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("is there");
    assert!(main.lines().count() < 60, "src/main.rs has become long");
}
