//! The first hour without a SQL Server: what the app says and does where a container engine answers, and where none does.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// An engine that has a container, ready at once, whose port nobody listens on.
const ENGINE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> asked
case "$1" in
info) echo id ;;
container) [ -f state ] || exit 1; /bin/cat state ;;
run|start) echo running > state ;;
port) echo "127.0.0.1:1" ;;
exec|logs) ;;
stop) echo exited > state ;;
esac
"#;

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        fs::create_dir(machine.path("bin")).expect("is writable");
        fs::create_dir(machine.path("project")).expect("is writable");
        machine
    }

    fn with_engine() -> Self {
        let machine = Self::new();
        let docker = machine.path("bin/docker");
        fs::write(&docker, ENGINE).expect("is writable");
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("is ours");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn status(&self, licence: bool) -> (Option<i32>, String) {
        let mut app = Command::new(env!("CARGO_BIN_EXE_app-sqlserver"));
        // `sh` and `dirname` for the engine; no real engine is there.
        let has_engine =
            |folder: &PathBuf| ["docker", "podman"].iter().any(|engine| folder.join(engine).exists());
        let tools = ["/usr/bin", "/bin"].map(PathBuf::from).into_iter().filter(|folder| !has_engine(folder));
        let path = std::env::join_paths([self.path("bin")].into_iter().chain(tools));
        app.env_clear().env("PATH", path.expect("is a path")).env("APP_ENV", "development");
        app.env("CARGO_MANIFEST_DIR", self.path("project")).current_dir(self.path("project")).arg("status");
        if licence {
            app.env("ACCEPT_EULA", "Y");
        }
        let output = app.stdin(std::process::Stdio::null()).output().expect("the app starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn without_an_engine_the_ways_out_are_named() {
    let (code, said) = Machine::new().status(true);
    assert_eq!(code, Some(3), "{said}");
    for way in ["no container engine answers", "start Docker or Podman", "DATABASE_URL", "or install one"] {
        assert!(said.contains(way), "{way}: {said}");
    }
}

#[test]
fn the_licence_is_asked_for_once_and_the_container_ends_with_the_app() {
    let machine = Machine::with_engine();
    let (code, said) = machine.status(false);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("go.microsoft.com") && said.contains("ACCEPT_EULA=Y"), "{said}");
    assert!(!machine.path("bin/state").exists(), "nothing has started");

    // Nobody listens on the port, so the app can go no further here.
    let (_, said) = machine.status(true);
    assert!(said.contains("starting a private SQL Server"), "{said}");
    assert!(said.contains("127.0.0.1"), "{said}");
    assert_eq!(fs::read_to_string(machine.path("bin/state")).expect("is there"), "exited\n");
    let password = fs::read_to_string(machine.path("project/.onward/sqlserver/password")).expect("is there");
    assert!(!said.contains(&password), "{said}");

    let (_, again) = machine.status(false);
    assert!(again.contains("starting a private SQL Server"), "it remembers the licence: {again}");
    let asked = fs::read_to_string(machine.path("bin/asked")).expect("is there");
    assert_eq!(asked.lines().filter(|line| line.starts_with("run ")).count(), 1, "{asked}");
}
