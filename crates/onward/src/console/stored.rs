use std::time::Duration;

use crate::database::Database;
use crate::outbox::{Outbox, Rows};
use crate::telemetry::known::{Known, OnDemand};
use crate::transaction::inbox;

/// How often the database is asked at the most, however many look.
const INTERVAL: Duration = Duration::from_secs(10);

/// What the app's own tables hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    /// None without an outbox.
    pub outbox: Option<Rows>,
    /// The rows of the inbox, by the server's estimate.
    pub inbox: Option<i64>,
}

/// The tables, which are read only when somebody looks.
#[derive(Debug)]
pub(super) struct Stored {
    database: Database,
    has_outbox: bool,
    tables: OnDemand<Tables>,
}

impl Stored {
    pub(super) fn new(database: Database, has_outbox: bool) -> Self {
        Self { database, has_outbox, tables: OnDemand::new("the database", INTERVAL) }
    }

    pub(super) async fn look(&self) -> Known<Tables> {
        self.tables.look(Box::pin(async { Ok((self.read().await?, None)) })).await
    }

    async fn read(&self) -> Result<Tables, String> {
        let outbox = match self.has_outbox {
            true => Some(Outbox::of(&self.database).rows().await?),
            false => None,
        };
        Ok(Tables { outbox, inbox: inbox::estimated_rows(&self.database).await? })
    }
}
