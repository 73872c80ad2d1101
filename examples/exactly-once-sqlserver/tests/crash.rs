//! The test kills the app while it works, on the server that `TEST_SQLSERVER_URL` names.

#[path = "../../../crates/onward-migrate/tests/conformance/address.rs"]
mod address;
#[path = "../../exactly-once/tests/crash/orders.rs"]
mod orders;
#[path = "../../../tests/queues/proxy.rs"]
mod proxy;

use onward_migrate::{SqlServer, SqlServerUrl, TdsClient};

async fn open(address: &str) -> TdsClient {
    let url: SqlServerUrl = address.parse().expect("is an address");
    SqlServer::open(&url, "test").await.expect("connects")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_and_every_invoice_is_made_exactly_once() {
    let server = std::env::var("TEST_SQLSERVER_URL").expect("TEST_SQLSERVER_URL names a server");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let name = format!("crash_{}", now.as_nanos());
    let create = format!("CREATE DATABASE {name}");
    let created = open(&server).await.simple_query(create).await.expect("is asked").into_results().await;
    created.expect("is created");

    let database = address::with_database(&server, &name);
    let mut client = open(&database).await;
    let count = async |sql: &str| -> i64 {
        let counted = client.simple_query(sql).await.expect("is asked").into_row().await.expect("is read");
        counted.and_then(|row| row.get::<i32, _>(0)).expect("is a number").into()
    };
    let app = env!("CARGO_BIN_EXE_app-exactly-once-sqlserver");
    orders::every_order_and_every_invoice_is_made_exactly_once(app, database, (2_000, 12), count).await;
}
