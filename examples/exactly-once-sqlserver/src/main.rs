//! An order becomes an invoice exactly once, even if a message is delivered twice or a worker is killed.

use std::process::ExitCode;

use onward::{App, Failure, Json, MssqlTx, Queue, Retention};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
struct Order {
    number: i64,
}

const ORDERS: Queue<Order> = Queue::new("orders");
const INVOICES: Queue<Order> = Queue::new("invoices");

/// Takes an order. Its row, the inbox row of its message and the message to the next queue commit together.
async fn take_order(mut tx: MssqlTx, Json(order): Json<Order>) -> Result<(), Failure> {
    tx.execute("INSERT INTO orders (number) VALUES (@P1)", &[&order.number]).await?;
    tx.send(&INVOICES, &order).await
}

async fn make_invoice(mut tx: MssqlTx, Json(order): Json<Order>) -> Result<(), Failure> {
    tx.execute("INSERT INTO invoices (order_number) VALUES (@P1)", &[&order.number]).await?;
    Ok(())
}

fn main() -> ExitCode {
    App::new(onward::scripts!(), |_| async { Ok(()) })
        .queue(ORDERS.handler(take_order))
        .queue(INVOICES.handler(make_invoice))
        .outbox()
        .inbox(Retention::days(15))
        .example(r#"{"number": 1}"#)
        .run()
}
