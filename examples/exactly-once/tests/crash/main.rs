//! The test kills the app while it works, on PostgreSQL.

mod orders;
#[path = "../../../../tests/queues/proxy.rs"]
mod proxy;

use std::path::Path;

use onward_local::PrivatePostgres;
use tokio_postgres::NoTls;

#[tokio::test(flavor = "multi_thread")]
async fn every_order_and_every_invoice_is_made_exactly_once() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let name = format!("crash_{}", now.as_nanos());
    let (admin, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("is created");

    let database = server.url(&name);
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.expect("connects");
    tokio::spawn(connection);
    let count = async |sql: &str| -> i64 { client.query_one(sql, &[]).await.expect("is read").get(0) };
    let app = env!("CARGO_BIN_EXE_app-exactly-once");
    orders::every_order_and_every_invoice_is_made_exactly_once(app, database, (10_000, 24), count).await;
}
