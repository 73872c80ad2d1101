//! The tool on a folder of scripts, as cargo calls it.

use std::fs;
use std::path::Path;
use std::process::Command;

use onward_local::PrivatePostgres;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn tool(folder: &Path, arguments: &[&str], database: Option<&str>) -> Said {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-onward"));
    tool.arg("onward").args(arguments).current_dir(folder).env_remove("CARGO_MANIFEST_DIR");
    tool.env_remove("DATABASE_URL").envs(database.map(|url| ("DATABASE_URL", url)));
    let output = tool.output().expect("the tool starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("is made");
    fs::create_dir(folder.path().join("sql")).expect("is made");
    let baseline = "CREATE TABLE orders (number bigint PRIMARY KEY);\n";
    fs::write(folder.path().join("sql/Baseline.sql"), baseline).expect("is written");
    folder
}

#[test]
fn a_script_is_written_checked_and_sealed_without_an_app() {
    let folder = folder();
    let run = |arguments: &[&str]| tool(folder.path(), arguments, None);
    let sealed = run(&["seal", "--without-schema"]);
    assert_eq!(sealed.code, Some(0), "{}", sealed.err);
    let new = run(&["new", "Orders get a customer"]);
    assert_eq!(new.code, Some(0), "{}", new.err);
    let script = folder.path().join("sql/Script-0001.sql");
    let text = fs::read_to_string(&script).expect("is there");
    let checked = run(&["check"]);
    assert!(checked.out.contains("cargo onward seal"), "the remedy for a draft: {}", checked.out);

    // A typo in a draft: the build would be broken, the tool is not.
    fs::write(&script, format!("{text}ALTER TABEL orders ADD COLUMN customer text;\n")).expect("is written");
    let broken = run(&["check"]);
    assert_eq!(broken.code, Some(1));
    assert!(broken.out.contains("sql/Script-0001.sql:"), "{}", broken.out);
    fs::write(&script, format!("{text}ALTER TABLE orders ADD COLUMN customer text;\n")).expect("is written");
    assert_eq!(run(&["seal", "--without-schema"]).code, Some(0));
    fs::write(&script, "SELECT 1;\n").expect("is written");
    let changed = run(&["check", "--format", "json"]);
    assert_eq!(changed.code, Some(1));
    assert!(changed.out.contains("cargo onward new") && !changed.out.contains("`app "), "{}", changed.out);
}

#[test]
fn a_wrong_call_says_what_to_do() {
    let folder = folder();
    let run = |arguments: &[&str]| tool(folder.path(), arguments, None);
    assert_eq!(run(&["--help"]).code, Some(0));
    assert_eq!(run(&["polish"]).code, Some(2));
    let plan = run(&["plan"]);
    assert_eq!(plan.code, Some(3));
    assert!(plan.err.contains("DATABASE_URL is not set"), "{}", plan.err);
    let nowhere = run(&["check", "--scripts", "nowhere"]);
    assert_eq!(nowhere.code, Some(1), "{}", nowhere.out);
    assert!(nowhere.out.contains("nowhere"), "{}", nowhere.out);
}

async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.expect("runs");
    drop(client);
    connection.await.expect("does not panic").expect("ends");
}

#[tokio::test]
async fn a_database_is_planned_adopted_and_looked_at() {
    let folder = folder();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let name = format!("tool_{}", std::process::id());
    execute(&server.url("app"), &format!("CREATE DATABASE {name}")).await;
    let url = server.url(&name);
    execute(&url, "CREATE TABLE orders (number bigint PRIMARY KEY)").await;
    let run = |arguments: &[&str]| tool(folder.path(), arguments, Some(&url));

    let state = run(&["status", "--exit-code"]);
    assert_eq!(state.code, Some(4), "{}", state.out);
    assert!(state.out.contains("`cargo onward adopt`"), "{}", state.out);
    let sealed = run(&["seal"]);
    assert_eq!(sealed.code, Some(0), "{}{}", sealed.out, sealed.err);
    let adopted = run(&["adopt"]);
    assert_eq!(adopted.code, Some(0), "{}{}", adopted.out, adopted.err);
    assert_eq!(run(&["status", "--exit-code"]).code, Some(0));
    assert_eq!(run(&["new", "Orders get a customer"]).code, Some(0));
    let script = folder.path().join("sql/Script-0001.sql");
    fs::write(&script, "ALTER TABLE orders ADD COLUMN customer text;\n").expect("is written");
    let plan = run(&["plan"]);
    assert!(plan.out.contains("Script-0001.sql"), "{}{}", plan.out, plan.err);
    execute(&server.url("app"), &format!("DROP DATABASE {name}")).await;
}
