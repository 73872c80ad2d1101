//! The service on a private PostgreSQL.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onward_local::PrivatePostgres;

/// A process that ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn service(url: &str, address: &str) -> Command {
    let mut service = Command::new(env!("CARGO_BIN_EXE_app-embed-only"));
    service.env("DATABASE_URL", url).env("HTTP_ADDR", address);
    service
}

#[tokio::test]
async fn the_service_upgrades_its_database_and_works_on_it() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let name = format!("embed_only_{}", std::process::id());
    let (admin, connection) =
        tokio_postgres::connect(&server.url("app"), tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");
    let (url, port) = (server.url(&name), TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    let address = port.local_addr().expect("is bound").to_string();
    drop(port);

    // Two at once: one works, the other one waits and then finds nothing to do.
    let other = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let other_address = other.local_addr().expect("is bound").to_string();
    drop(other);
    let _services = [&address, &other_address].map(|address| {
        Service(service(&url, address).stderr(Stdio::inherit()).spawn().expect("the service starts"))
    });

    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::new();
    for address in [&address, &other_address] {
        let notes = format!("http://{address}/notes");
        let begun = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while client.get(&notes).send().await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the service answers");
            looks.tick().await;
        }
        let written =
            client.post(&notes).header("content-type", "application/json").body(r#"{"text": "hello"}"#);
        assert_eq!(written.send().await.expect("answers").status().as_u16(), 201);
    }
    let notes = client.get(format!("http://{address}/notes")).send().await.expect("answers");
    assert_eq!(notes.text().await.expect("is text"), r#"[{"text":"hello"},{"text":"hello"}]"#);

    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let rows = client.query("SELECT version, app_version FROM schema_journal ORDER BY version", &[]).await;
    let rows: Vec<(i32, String)> =
        rows.expect("is read").iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(0, "0.1.0".to_owned()), (1, "0.1.0".to_owned())]);

    // A schema that is not this one: the service says why, and does not start.
    client
        .batch_execute("UPDATE schema_journal SET sha256 = repeat('0', 64) WHERE version = 1")
        .await
        .expect("is changed");
    let mut refused = tokio::process::Command::from(service(&url, "127.0.0.1:0"));
    let refused =
        refused.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("starts");
    let refused = tokio::time::timeout(Duration::from_secs(60), refused.wait_with_output()).await;
    let refused = refused.expect("it does not serve").expect("ends");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Script-0001"), "{said}");
    assert!(said.starts_with("error: ") && !said.contains("Error {"), "for a person: {said}");
    assert!(!said.contains("`app "), "a service has no commands: {said}");
}

/// One dependency and one build-dependency: nothing of the queue is built.
#[test]
fn no_crate_of_the_queue_is_in_the_tree() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "app-embed-only", "--edges", "normal,build", "--prefix", "none"])
        .output()
        .expect("cargo starts");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    assert!(tree.contains("onward-migrate"), "{tree}");
    assert!(!tree.contains("aws-") || !tree.contains("sqs"), "{tree}");
    assert!(!tree.contains("onward-worker"), "{tree}");
}
