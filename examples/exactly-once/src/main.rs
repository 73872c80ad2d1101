//! An order becomes an invoice exactly once, even if a message is delivered twice or a worker is killed.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use onward::{App, Failure, Json, PgTx, Queue};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Order {
    number: i64,
}

const ORDERS: Queue<Order> = Queue::new("orders");
const INVOICES: Queue<Order> = Queue::new("invoices");

/// Takes an order. Its row, the inbox row of its message and the message to the next queue commit together.
async fn take_order(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
    tx.execute("INSERT INTO orders (number) VALUES ($1)", &[&order.number]).await?;
    tx.send(&INVOICES, &order).await
}

async fn make_invoice(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
    tx.execute("INSERT INTO invoices (order_number) VALUES ($1)", &[&order.number]).await?;
    Ok(())
}

fn app() -> App<()> {
    App::new(onward::scripts!(), |_| async { Ok(()) })
        .queue(ORDERS.handler(take_order))
        .queue(INVOICES.handler(make_invoice))
        .outbox()
        .example(r#"{"number": 1}"#)
}

fn main() -> ExitCode {
    app().run()
}
