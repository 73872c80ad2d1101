//! The apps whose speed is measured: the same work with an inbox and without one, and the relay of an outbox.

use std::process::ExitCode;

use onward::{App, Failure, Json, PgPool, PgTx, Queue, Setup, State};

const WORK: Queue<i64> = Queue::new("work");

/// What each message writes, here and in the raw loops.
pub(crate) const EFFECT: &str = "INSERT INTO effects (number) VALUES ($1)";

async fn with_inbox(tx: PgTx, Json(number): Json<i64>) -> Result<(), Failure> {
    tx.execute(EFFECT, &[&number]).await?;
    Ok(())
}

async fn with_inbox_cached(tx: PgTx, Json(number): Json<i64>) -> Result<(), Failure> {
    let effect = tx.prepare_cached(EFFECT).await?;
    tx.execute(&effect, &[&number]).await?;
    Ok(())
}

async fn without_inbox(State(pool): State<PgPool>, Json(number): Json<i64>) -> Result<(), Failure> {
    pool.get().await?.execute(EFFECT, &[&number]).await?;
    Ok(())
}

pub(crate) fn run(role: &str) -> ExitCode {
    let app = App::new(onward::scripts!(), async |Setup { database, .. }: Setup| Ok(database.postgres()?));
    match role {
        "PgTx" => app.queue(WORK.handler(with_inbox)),
        "PgTx, cached" => app.queue(WORK.handler(with_inbox_cached)),
        "pool, no inbox" => app.queue(WORK.handler(without_inbox)),
        _ => app.queue(WORK.handler(without_inbox)).outbox(),
    }
    .run()
}
