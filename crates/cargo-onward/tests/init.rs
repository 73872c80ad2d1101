//! `cargo onward init`, and what a newcomer then does with the project: test, launch, send, seal, deploy.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Two cargo builds at the same time would wait for each other.
static ONE_BUILD: Mutex<()> = Mutex::new(());

/// Far longer than a launch takes: a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(120);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// What the machine's own environment says is not meant for the project.
fn without_configuration(command: &mut Command) {
    for name in ["DATABASE_URL", "QUEUE_URL", "HTTP_ADDR", "APP_ENV", "RUST_LOG"] {
        command.env_remove(name);
    }
}

fn run(command: &mut Command) -> Said {
    without_configuration(command);
    let output = command.stdin(Stdio::null()).output().expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn init(folder: &Path, arguments: &[&str]) -> Said {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-onward"));
    run(tool.args(["onward", "init"]).args(arguments).current_dir(folder).env_remove("CARGO_MANIFEST_DIR"))
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).expect("lies in a checkout")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("is made")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The files in a folder, without those of git.
fn listed(root: &Path, folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("is a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if entry.file_name() == ".git" => {}
            true => all.extend(listed(root, &path)),
            false => {
                all.push(path.strip_prefix(root).expect("lies in it").to_string_lossy().replace('\\', "/"));
            }
        }
    }
    all.sort_unstable();
    all
}

/// A project from this checkout, and what cargo needs to build it from what is built already.
struct Project {
    folder: PathBuf,
    target: PathBuf,
    _parent: tempfile::TempDir,
}

impl Project {
    fn make(name: &str, database: &str) -> Self {
        let parent = temporary();
        let from = checkout().to_str().expect("is UTF-8");
        let said = init(parent.path(), &[name, "--database", database, "--onward", from]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.out.contains(&format!("cd {name}")) && said.out.contains("cargo run"), "{}", said.out);
        let folder = parent.path().join(name);
        fs::copy(checkout().join("Cargo.lock"), folder.join("Cargo.lock")).expect("is copied");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("lies in the target folder");
        Self { folder, target: target.to_owned(), _parent: parent }
    }

    fn cargo(&self, arguments: &[&str]) -> Said {
        let mut cargo = Command::new("cargo");
        cargo.args(arguments).current_dir(&self.folder).env("CARGO_TARGET_DIR", &self.target);
        let said = run(&mut cargo);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.out, said.err);
        said
    }

    /// The binary that `cargo test` has built, as `cargo run` would start it.
    fn app(&self, arguments: &[&str]) -> Command {
        let name = self.folder.file_name().expect("has a name");
        let mut app = Command::new(self.target.join("debug").join(name));
        app.args(arguments).current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        without_configuration(&mut app);
        app
    }

    fn said(&self, arguments: &[&str]) -> Said {
        run(&mut self.app(arguments))
    }
}

/// A launch that ends with the test, and its output.
struct Launch {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Launch {
    fn start(command: &mut Command) -> Self {
        let (sender, lines) = channel();
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("starts");
        forward(child.stdout.take().expect("is piped"), sender.clone());
        forward(child.stderr.take().expect("is piped"), sender);
        Self { child, lines, seen: Vec::new() }
    }

    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let is_it = line.contains(text);
            self.seen.push(line);
            if is_it {
                return;
            }
        }
        panic!("no `{text}` in time:\n{}", self.seen.join("\n"));
    }
}

fn forward(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from).lines().map_while(Result::ok);
        // It ends when nobody waits any more.
        lines.all(|line| to.send(line).is_ok())
    });
}

impl Drop for Launch {
    fn drop(&mut self) {
        // The kill of a process that has ended already fails, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_newcomer_gets_from_nothing_to_a_sealed_script() {
    let _one = ONE_BUILD.lock();
    let project = Project::make("shop-postgres", "postgres");
    let mut expected = vec![
        ".dockerignore",
        ".gitattributes",
        ".githooks/pre-commit",
        ".github/workflows/ci.yml",
        ".gitignore",
        "Cargo.lock",
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
        "sql/schema.lock",
        "sql/schema.sql",
        "sql/scripts.lock",
        "src/deliver.rs",
        "src/http.rs",
        "src/main.rs",
        "tests/scripts.rs",
    ];
    expected.sort_unstable();
    assert_eq!(listed(&project.folder, &project.folder), expected);
    project.cargo(&["fmt", "--check"]);
    // The tests of its scripts and of its handler.
    let tested = project.cargo(&["test"]);
    assert!(tested.out.contains("a_message_is_delivered"), "{}", tested.out);

    let mut launch = Launch::start(project.app(&[]).env("HTTP_ADDR", "127.0.0.1:0"));
    launch.wait_for("/console?token=");
    let sent = project.said(&["queue", "send", r#"{"destination": "echo", "body": 1}"#]);
    assert_eq!(sent.code, Some(0), "{}", sent.err);
    launch.wait_for("message done");

    let new = project.said(&["script", "new", "Orders"]);
    assert_eq!(new.code, Some(0), "{}", new.err);
    let script = project.folder.join("sql/Script-0002.sql");
    fs::write(&script, format!("{}CREATE TABEL orders (number bigint PRIMARY KEY);\n", read(&script)))
        .expect("is written");
    let broken = project.said(&["script", "check", "--format", "sarif"]);
    assert_eq!(broken.code, Some(1), "{}", broken.err);
    let findings: Value =
        serde_json::from_str(&broken.out).expect("is SARIF, as the project's CI uploads it");
    assert!(findings["runs"][0]["results"][0]["ruleId"].is_string(), "{findings}");
    fs::write(&script, read(&script).replace("TABEL", "TABLE")).expect("is written");
    let sealed = project.said(&["script", "seal"]);
    assert_eq!(sealed.code, Some(0), "{}", sealed.err);
    assert!(read(&project.folder.join("sql/scripts.lock")).contains("Script-0002.sql"));
    assert!(read(&project.folder.join("sql/schema.sql")).contains("orders"));
}

#[test]
fn a_project_on_sql_server_builds() {
    let _one = ONE_BUILD.lock();
    let project = Project::make("shop-sqlserver", "sqlserver");
    project.cargo(&["fmt", "--check"]);
    project.cargo(&["build", "--quiet", "--all-targets", "--features", "test-sqlserver"]);
}

#[test]
fn what_cannot_become_a_project_is_refused_and_nothing_is_written() {
    let parent = temporary();
    fs::create_dir(parent.path().join("full")).expect("is made");
    fs::write(parent.path().join("full/notes.txt"), "mine").expect("is written");
    for (arguments, expected) in [
        (&["full"][..], "full is not empty"),
        (&["1shop"], "does not begin with a letter"),
        (&["my shop"], "has a character that no name may have"),
        (&["test"], "Rust or cargo uses it already"),
        (&["shop", "--name", ""], "it is empty"),
        (&["shop", "--onward", "latest"], "no version, no URL and no folder"),
        (&["shop", "--onward", "full"], "no checkout of Onward"),
        (&["full/notes.txt", "--name", "shop"], "cannot be written"),
    ] {
        let said = init(parent.path(), arguments);
        assert_ne!(said.code, Some(0), "{arguments:?}: {}", said.out);
        assert!(said.err.contains(expected) && said.err.contains("help:"), "{arguments:?}: {}", said.err);
        assert_eq!(listed(parent.path(), parent.path()), ["full/notes.txt"], "{arguments:?}");
        assert_eq!(fs::read_dir(parent.path()).expect("is there").count(), 1, "{arguments:?}");
    }
    // An empty folder is as good as none, and so are a path and a name of its own.
    fs::create_dir(parent.path().join("empty")).expect("is made");
    assert_eq!(init(parent.path(), &["empty"]).code, Some(0));
    let here = temporary();
    fs::create_dir(here.path().join("shop")).expect("is made");
    let said = init(&here.path().join("shop"), &["."]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(read(&here.path().join("shop/Cargo.toml")).contains("name = \"shop\""));
    assert_eq!(init(parent.path(), &["a/b/c", "--name", "shop"]).code, Some(0));
    let manifest = read(&parent.path().join("a/b/c/Cargo.toml"));
    assert!(manifest.contains("name = \"shop\""), "{manifest}");
    let version = format!("onward = {{ version = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&version), "{manifest}");
}

/// The project names the same versions of other crates as this workspace.
#[test]
fn the_project_has_the_workspaces_dependencies() {
    let parent = temporary();
    assert_eq!(init(parent.path(), &["shop", "--database", "sqlserver"]).code, Some(0));
    let project = read(&parent.path().join("shop/Cargo.toml"));
    let workspace = read(&checkout().join("Cargo.toml"));
    for name in ["reqwest", "serde", "serde_json", "tiberius", "tracing"] {
        let (theirs, ours) = (version(&project, name), version(&workspace, name));
        assert!(
            theirs.is_some() && theirs == ours,
            "{name}: {theirs:?} in the project, {ours:?} in the workspace"
        );
    }
}

/// The version in the first line for a dependency: its first text that begins with a digit.
fn version<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
    line.split('"').find(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

/// What a person writes by mistake in `src/main.rs`, and what the compiler says of it.
const MISTAKES: [(&str, &[&str]); 7] = [
    (
        "async fn take(Json(order): Json<u64>) -> Result<(), Failure> { let _ = order; Ok(()) }
         pub fn orders() -> Consumer<()> { ORDERS.handler(take) }",
        &["the handler does not take the body of a queue of `std::string::String`", "its last argument is `Json<u64>`"],
    ),
    (
        "async fn take(path: std::path::PathBuf, Json(order): Json<String>) -> Result<(), Failure> { let _ = (path, order); Ok(()) }
         pub fn orders() -> Consumer<()> { ORDERS.handler(take) }",
        &["is not a message handler", "arguments that implement `FromMessage`", "`State<S>`, `PgTx`"],
    ),
    (
        "async fn take(Json(order): Json<String>) { let _ = order; }
         pub fn orders() -> Consumer<()> { ORDERS.handler(take) }",
        &["is not a message handler", "returns `Result<(), Failure>`"],
    ),
    (
        "fn take(Json(order): Json<String>) -> Result<(), Failure> { let _ = order; Ok(()) }
         pub fn orders() -> Consumer<()> { ORDERS.handler(take) }",
        &["is not a message handler", "a handler is an async fn"],
    ),
    (
        "async fn take(State(pool): State<PgPool>, Json(order): Json<String>) -> Result<(), Failure> { let _ = (pool, order); Ok(()) }
         pub fn orders() -> Consumer<u8> { ORDERS.handler(take) }",
        &["expected `Consumer<u8>`", "found `Consumer<Pool<Manager>>`"],
    ),
    (
        "async fn take(tx: PgTx, Json(order): Json<String>) -> Result<(), Failure> { let _ = order; tx.send(&ORDERS, &7).await }
         pub fn orders() -> Consumer<()> { ORDERS.handler(take) }",
        &["mismatched types", "expected `&String`, found `&{integer}`"],
    ),
    (
        "async fn work(pool: PgPool) -> Result<(), Failure> { let _ = pool; Ok(()) }
         pub fn jobs(app: App<Outbound>) -> App<Outbound> { app.every(\"nightly\", \"0 3 * * *\", work) }",
        &["type mismatch", "expected function signature `fn(Outbound) -> _`"],
    ),
];

#[test]
fn a_mistake_in_a_handler_is_explained() {
    let _one = ONE_BUILD.lock();
    let project = Project::make("shop-postgres", "postgres");
    let main = project.folder.join("src/main.rs");
    let right = read(&main);
    for (mistake, expected) in MISTAKES {
        let imports = "#[allow(unused_imports)] use onward::{Consumer, Failure, Json, PgPool, PgTx, State};
                       #[allow(dead_code)] const ORDERS: Queue<String> = Queue::new(\"orders\");";
        fs::write(&main, format!("{right}\n{imports}\n{mistake}\n")).expect("is written");
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--quiet"])
            .current_dir(&project.folder)
            .env("CARGO_TARGET_DIR", &project.target);
        let said = run(&mut cargo);
        assert_eq!(said.code, Some(101), "{mistake}: {}", said.err);
        for text in expected {
            // The compiler breaks long lines where it likes.
            let shown = said.err.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(shown.contains(text), "{mistake}\n`{text}` is not in:\n{}", said.err);
        }
    }
}
