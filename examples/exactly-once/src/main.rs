//! An order becomes an invoice exactly once, even if a message is delivered twice or a worker is killed.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use onward::clap::{self, Args};
use onward::{App, Failure, Json, PgPool, PgTx, Queue, Retention};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Order {
    number: i64,
}

const ORDERS: Queue<Order> = Queue::new("orders");
const INVOICES: Queue<Order> = Queue::new("invoices");

/// Takes an order. Its row, the inbox row of its message and the message to the next queue commit together.
async fn take_order(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
    let insert = tx.prepare_cached("INSERT INTO orders (number) VALUES ($1)").await?;
    tx.execute(&insert, &[&order.number]).await?;
    tx.send(&INVOICES, &order).await
}

async fn make_invoice(tx: PgTx, Json(order): Json<Order>) -> Result<(), Failure> {
    tx.execute("INSERT INTO invoices (order_number) VALUES ($1)", &[&order.number]).await?;
    Ok(())
}

/// Deletes the orders that the books need no longer.
async fn forget_orders(pool: PgPool) -> Result<(), Failure> {
    let old = "DELETE FROM orders WHERE taken_at < now() - interval '10 years'";
    let deleted = pool.get().await?.execute(old, &[]).await?;
    tracing::info!(deleted, "old orders were deleted");
    Ok(())
}

/// The arguments of the command `missing`.
#[derive(Args)]
struct Missing {
    /// The most orders to show
    #[arg(long, value_name = "N", default_value_t = 100)]
    most: i64,
}

/// Shows the orders whose invoice was not made yet.
async fn missing(pool: PgPool, Missing { most }: Missing) -> Result<(), Box<dyn Error + Send + Sync>> {
    let query = "SELECT number FROM orders WHERE number NOT IN (SELECT order_number FROM invoices) ORDER BY 1 LIMIT $1";
    for row in pool.get().await?.query(query, &[&most]).await? {
        writeln!(std::io::stdout(), "{}", row.get::<_, i64>(0))?;
    }
    Ok(())
}

fn app() -> App<PgPool> {
    App::new(onward::scripts!(), async |setup| Ok(setup.database.postgres()?))
        .queue(ORDERS.handler(take_order))
        .queue(INVOICES.handler(make_invoice))
        .outbox()
        .inbox(Retention::days(43))
        .every("forget-orders", "30 3 * * *", forget_orders)
        .command("missing", "Show the orders without an invoice", missing)
        .example(r#"{"number": 1}"#)
}

fn main() -> ExitCode {
    app().run()
}
