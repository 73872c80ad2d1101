//! A handler's work, the mark that it was done, and what it sends, in one transaction: what both databases share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use deadpool::managed::Manager;
use onward_worker::{Failure, Message};
use serde::Serialize;
use tokio::sync::Notify;

#[cfg(feature = "sqlserver")]
use crate::database::MssqlManager;
use crate::outbox::ID;
use crate::pg_tx;
use crate::transaction::{Lender, Open};

/// The transaction that a handler was given, to be ended by what becomes of the message.
pub(crate) enum Transaction {
    Postgres(Arc<Lender<deadpool_postgres::Manager>>),
    #[cfg(feature = "sqlserver")]
    SqlServer(Arc<Lender<MssqlManager>>),
}

impl Transaction {
    /// Commits after a success; a failure rolls back. Whoever publishes the outbox is told of what was sent.
    pub(crate) async fn settle(self, outcome: Result<(), Failure>, wake: &Notify) -> Result<(), Failure> {
        let has_sent = match self {
            Self::Postgres(lender) => {
                let open = returned(&lender, &outcome)?;
                pg_tx::end(open, outcome).await?;
                lender.has_sent()
            }
            #[cfg(feature = "sqlserver")]
            Self::SqlServer(lender) => {
                let open = returned(&lender, &outcome)?;
                crate::mssql_tx::end(open, outcome).await?;
                lender.has_sent()
            }
        };
        if has_sent {
            wake.notify_one();
        }
        Ok(())
    }
}

/// The handler's own failure says more than a transaction that it has kept.
fn returned<M: Manager>(lender: &Lender<M>, outcome: &Result<(), Failure>) -> Result<Open<M>, Failure> {
    lender.take_back().map_err(|kept| outcome.as_ref().err().cloned().unwrap_or(kept))
}

/// What the message is known by: a relay that crashed may have sent it twice, under two ids of the queue and one of its
/// own.
pub(crate) fn identity(message: &Message) -> &str {
    message.attributes.get(ID).unwrap_or(&message.id)
}

pub(crate) const ONE_TRANSACTION: &str = "a handler takes one transaction";

/// One row of the outbox, before it is written.
pub(crate) struct Sent<'a> {
    pub queue: &'a str,
    pub group: Option<&'a str>,
    pub body: String,
    pub traceparent: Option<String>,
}

impl<'a> Sent<'a> {
    pub(crate) fn new<M: Manager>(
        lender: &Lender<M>,
        queue: &'a str,
        group: Option<&'a str>,
        body: &impl Serialize,
    ) -> Result<Self, Failure> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::reject(format!("a message to {queue} cannot be encoded: {error}")))?;
        // Set before the row is there: to be told for nothing costs a query, not to be told costs the patrol's time.
        lender.has_sent.store(true, Ordering::Relaxed);
        Ok(Self { queue, group, body, traceparent: lender.traceparent.clone() })
    }
}

pub(crate) fn missing_table(table: &str) -> Failure {
    Failure::retry(format!("the table `{table}` is missing or another one: compare it with docs/inbox.md"))
}
