//! What ARCHITECTURE.md says always holds, as far as a machine can see it.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
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
        ("onward-build", &["onward-script"]),
        ("onward-migrate", &["onward-script", "onward-local"]),
        ("onward", &["onward-build", "onward-local", "onward-migrate", "onward-script", "onward-worker"]),
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

#[test]
fn a_driver_is_named_in_one_place() {
    assert_eq!(
        files_naming("onward-migrate", "tokio_postgres"),
        ["postgres.rs", "postgres_error.rs", "tls.rs"]
    );
    assert_eq!(
        files_naming("onward-migrate", "tiberius"),
        ["prints.rs", "sqlserver.rs", "sqlserver_error.rs", "sqlserver_url.rs"]
    );
    assert_eq!(files_naming("onward-worker", "aws_sdk_sqs"), ["queue/sqs.rs"]);
    assert_eq!(files_naming("onward-migrate", "refinery::"), ["bridge.rs", "journal.rs", "runner.rs"]);
}

#[test]
fn libraries_read_no_environment() {
    for package in ["onward-script", "onward-migrate", "onward-worker"] {
        assert_eq!(files_naming(package, "env::var"), [""; 0], "{package}");
    }
}

#[test]
fn the_starter_is_short() {
    let main = fs::read_to_string(root().join("src/main.rs")).expect("is there");
    assert!(main.lines().count() < 60, "src/main.rs has become long");
}

#[test]
fn the_rules_are_documented_by_their_table() {
    let documented = fs::read_to_string(root().join("docs/rules.md")).expect("is there");
    let said =
        crate::support::run(crate::support::app().env("APP_ENV", "development").args(["script", "rules"]));
    assert_eq!(documented, said.stdout, "write it anew: cargo run -- script rules > docs/rules.md");
}
