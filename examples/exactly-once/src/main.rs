//! An order becomes an invoice exactly once, even if a message is delivered twice or a worker is killed.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use onward::{App, Failure, Json, PgPool, PgTx, Queue};
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

/// The inbox recognises a message as long as its row exists: longer than SQS keeps one, which is 14 days at the most.
async fn prune_inbox(pool: PgPool) -> Result<(), Failure> {
    let old = "DELETE FROM inbox WHERE handled_at < now() - interval '15 days'";
    let deleted = pool.get().await?.execute(old, &[]).await?;
    tracing::info!(deleted, "the inbox was pruned");
    Ok(())
}

fn app() -> App<PgPool> {
    App::new(onward::scripts!(), async |setup| Ok(setup.database.postgres()?))
        .queue(ORDERS.handler(take_order))
        .queue(INVOICES.handler(make_invoice))
        .outbox()
        .every("prune-inbox", "30 3 * * *", prune_inbox)
        .example(r#"{"number": 1}"#)
}

fn main() -> ExitCode {
    app().run()
}
