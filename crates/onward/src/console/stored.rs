use std::time::Duration;

use tokio::sync::Mutex;

use crate::console::known::Known;
use crate::database::Database;
use crate::outbox::{Outbox, Rows};
use crate::transaction::inbox;

/// How often the database is asked at the most, however many look.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long a look waits for the database.
const MOST: Duration = Duration::from_secs(2);

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
    known: Mutex<(Option<std::time::Instant>, Known<Tables>)>,
}

impl Stored {
    pub(super) fn new(database: Database, has_outbox: bool) -> Self {
        Self { database, has_outbox, known: Mutex::default() }
    }

    pub(super) fn has_outbox(&self) -> bool {
        self.has_outbox
    }

    pub(super) async fn look(&self) -> Known<Tables> {
        let mut state = self.known.lock().await;
        let (asked, known) = &mut *state;
        if asked.is_none_or(|asked| asked.elapsed() >= INTERVAL) {
            let read = tokio::time::timeout(MOST, self.read()).await;
            known.learn(read.unwrap_or_else(|_| Err("the database did not answer in time".to_owned())));
            // Last, so that a look that is cut off counts as none.
            *asked = Some(std::time::Instant::now());
        }
        known.clone()
    }

    async fn read(&self) -> Result<Tables, String> {
        let outbox = match self.has_outbox {
            true => Some(Outbox::of(&self.database).rows().await?),
            false => None,
        };
        Ok(Tables { outbox, inbox: inbox::estimated_rows(&self.database).await? })
    }
}
