//! The app that the bench kills: two queues with an inbox, a standard and a FIFO one, and one without.

use std::path::PathBuf;
use std::process::ExitCode;

use onward::{App, BreakerByKey, Failure, Json, Message, PgPool, PgTx, Queue, Setup, State};
use serde::{Deserialize, Serialize};

const ORDERS: Queue<Item> = Queue::new("orders");
const LEDGER: Queue<Item> = Queue::new("ledger.fifo");
const PLAIN: Queue<Item> = Queue::new("plain");

/// The folder with a file for each destination that is down.
pub(crate) const DOWN: &str = "WEATHER_DOWN";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    /// `good`, `bad` (its handler rejects it) or `poison` (its handler ends the process).
    pub kind: String,
    pub number: i64,
    pub destination: String,
}

#[derive(Clone)]
struct World {
    pool: PgPool,
    down: PathBuf,
}

/// The work of each message, apart from what it writes.
async fn visit(world: &World, item: &Item) -> Result<(), Failure> {
    match item.kind.as_str() {
        "poison" => std::process::abort(),
        "bad" => return Err(Failure::reject("a bad message")),
        _ => {}
    }
    if world.down.join(&item.destination).exists() {
        return Err(Failure::retry("the destination is down"));
    }
    // Long enough that a kill meets messages in the middle of their work.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    Ok(())
}

const EFFECT: &str = "INSERT INTO effects (queue, number) VALUES ($1, $2)";

async fn order(State(world): State<World>, tx: PgTx, Json(item): Json<Item>) -> Result<(), Failure> {
    visit(&world, &item).await?;
    tx.execute(EFFECT, &[&"orders", &item.number]).await?;
    Ok(())
}

async fn entry(State(world): State<World>, tx: PgTx, Json(item): Json<Item>) -> Result<(), Failure> {
    visit(&world, &item).await?;
    tx.execute(EFFECT, &[&"ledger.fifo", &item.number]).await?;
    Ok(())
}

async fn plain(State(world): State<World>, Json(item): Json<Item>) -> Result<(), Failure> {
    visit(&world, &item).await?;
    let client = world.pool.get().await.map_err(|error| Failure::retry(error.to_string()))?;
    client.execute(EFFECT, &[&"plain", &item.number]).await?;
    Ok(())
}

fn destination(message: &Message) -> Option<String> {
    serde_json::from_str::<Item>(&message.body).ok().map(|item| item.destination)
}

pub(crate) fn run() -> ExitCode {
    let setup = async |Setup { database, .. }: Setup| {
        let down = std::env::var_os(DOWN).ok_or("the bench names the folder")?;
        Ok(World { pool: database.postgres()?, down: down.into() })
    };
    App::new(onward::scripts!(), setup)
        .queue(ORDERS.handler(order).layer(BreakerByKey::new(destination)))
        .queue(LEDGER.handler(entry))
        .queue(PLAIN.handler(plain).layer(BreakerByKey::new(destination)))
        .run()
}
