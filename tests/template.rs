//! A new project, which cargo-generate makes if it is installed. `REQUIRE_ENGINES=cargo-generate` makes its absence a
//! failure.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let is_there =
        Command::new("cargo").args(["generate", "--version"]).output().is_ok_and(|it| it.status.success());
    let mut trials = vec![Trial::test("the_template_has_the_workspaces_dependencies", same_dependencies)];
    if is_there {
        trials.push(Trial::test("a_project_on_postgresql_passes_its_tests", || {
            generated("postgres", &["test", "--quiet"])
        }));
        trials.push(Trial::test("a_project_on_sql_server_builds", || {
            generated("sqlserver", &["build", "--quiet", "--all-targets", "--features", "test-sqlserver"])
        }));
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    if required.split(',').any(|engine| engine.trim() == "cargo-generate") {
        trials.push(Trial::test("cargo_generate_is_there", move || {
            if is_there { Ok(()) } else { Err("REQUIRE_ENGINES asks for it; install cargo-generate".into()) }
        }));
    }
    // Two cargo builds at the same time would wait for each other.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Only the files in git are the template, as for a user who generates from a repository.
fn template(folder: &Path) -> Result<(), Failed> {
    let listed =
        output(Command::new("git").arg("-C").arg(root()).args(["ls-files", "-co", "--exclude-standard"]))?;
    for name in listed.lines() {
        let (from, to) = (root().join(name), folder.join(name));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().expect("has a folder"))?;
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// Generates a project from this checkout and runs cargo in it. It uses the target folder and the lock of this build, so
/// that cargo does not build anything twice.
fn generated(database: &str, cargo: &[&str]) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let (source, name) = (folder.path().join("template"), format!("shop-{database}"));
    template(&source)?;
    let mut generate = Command::new("cargo");
    generate.args(["generate", "--silent", "--vcs", "none", "--name", &name]).arg("--path").arg(&source);
    generate.arg("--destination").arg(folder.path()).args(["--define", &format!("database={database}")]);
    output(generate.args(["--define", &format!("onward={}", root().display())]))?;

    let project = folder.path().join(&name);
    let mut files: Vec<String> = listed(&project, &project)?;
    files.sort();
    let mut expected = vec![
        ".dockerignore",
        ".gitattributes",
        ".gitignore",
        "Cargo.toml",
        "Dockerfile",
        "README.md",
        "build.rs",
        "deploy/alerts.yaml",
        "deploy/cloudwatch.yaml",
        "deploy/compose.yaml",
        "deploy/grafana.json",
        "deploy/iam/redrive.json",
        "deploy/iam/send.json",
        "deploy/iam/serve.json",
        "deploy/kubernetes.yaml",
        "rustfmt.toml",
        "sql/Baseline.sql",
        "sql/Script-0001.sql",
        "sql/scripts.lock",
        "src/deliver.rs",
        "src/http.rs",
        "src/main.rs",
        "tests/scripts.rs",
    ];
    // Only `script seal` on PostgreSQL describes the schema.
    if database == "postgres" {
        expected.extend(["sql/schema.lock", "sql/schema.sql"]);
        expected.sort_unstable();
    }
    if files != expected {
        return Err(format!("{files:#?}").into());
    }
    std::fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock"))?;
    let target: PathBuf =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("lies in the target folder").into();
    output(Command::new("cargo").args(cargo).current_dir(&project).env("CARGO_TARGET_DIR", target))
        .map(|_| ())
}

fn listed(root: &Path, folder: &Path) -> std::io::Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(listed(root, &path)?);
        } else {
            all.push(path.strip_prefix(root).expect("lies in it").to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(all)
}

fn output(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&said)).into())
}

/// The template names the same versions of other crates as this workspace.
fn same_dependencies() -> Result<(), Failed> {
    let template = std::fs::read_to_string(root().join("Cargo.toml.liquid"))?;
    let workspace = std::fs::read_to_string(root().join("Cargo.toml"))?;
    for name in ["reqwest", "serde", "serde_json", "tiberius", "tracing"] {
        let (theirs, ours) = (version(&template, name), version(&workspace, name));
        if theirs.is_none() || theirs != ours {
            return Err(format!("{name} is {theirs:?} in the template and {ours:?} in the workspace").into());
        }
    }
    Ok(())
}

/// The version in the first line for a dependency: its first text that begins with a digit.
fn version<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
    line.split('"').find(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}
