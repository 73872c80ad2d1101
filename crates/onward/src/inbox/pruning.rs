//! Deletes the old rows of the inbox, on one node at a time and beside the handlers.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::inbox::table::{Inbox, MAX_TRANSACTION, ROWS};
use crate::process::exit::{CommandError, Exit};

/// How often a node looks for old rows. Up to a half is taken off, so that the nodes of a fleet do not look together.
const INTERVAL: Duration = Duration::from_secs(600);

/// How much longer than a transaction the pause after it is: the handlers have the server for the most part.
const PAUSE: u32 = 4;
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The task that deletes what is too old.
pub(crate) struct Pruning {
    inbox: Inbox,
    retention: Duration,
    stop: CancellationToken,
}

impl Pruning {
    /// Checks that the table can be pruned.
    pub(crate) async fn new(
        database: &Database,
        retention: Duration,
        stop: CancellationToken,
    ) -> Result<Self, CommandError> {
        let inbox = Inbox::of(database);
        let refused = |message: String| {
            let help = "add it in a script, `CREATE INDEX inbox_handled_at ON inbox (handled_at);`, and run `app migrate`";
            CommandError::new(Exit::Schema, message, help)
        };
        match inbox.is_indexed().await {
            Ok(true) => Ok(Self { inbox, retention, stop }),
            Ok(false) => Err(refused(
                "the table `inbox` has no index that begins with `handled_at`, which its retention needs"
                    .to_owned(),
            )),
            Err(reason) => Err(refused(format!("the table `inbox` cannot be used: {reason}"))),
        }
    }

    /// Deletes now and then, until the stop.
    pub(crate) async fn run(self) {
        loop {
            match self.pass().await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "old rows of the inbox were deleted"),
                Err(reason) => {
                    tracing::warn!(%reason, "old rows of the inbox could not be deleted; it is tried again");
                }
            }
            if !self.pause(INTERVAL.mul_f64(0.5 + fastrand::f64() / 2.0)).await {
                return;
            }
        }
    }

    /// Deletes until nothing is old any more, another node does the same, or the stop.
    async fn pass(&self) -> Result<i64, String> {
        let (mut all, mut last) = (0, None);
        loop {
            let begun = Instant::now();
            let pruning = self.inbox.prune(self.retention, last.as_deref());
            let pruned = timeout(MAX_TRANSACTION, pruning).await;
            let Some(pruned) = pruned.map_err(|_| "the database did not answer in time")?? else {
                return Ok(all);
            };
            all += pruned.rows;
            last = pruned.last.or(last);
            let pause = SHORTEST_PAUSE.max(begun.elapsed() * PAUSE);
            if pruned.rows < ROWS || !self.pause(pause).await {
                return Ok(all);
            }
        }
    }

    /// Waits; false at the stop.
    async fn pause(&self, length: Duration) -> bool {
        self.stop.run_until_cancelled(tokio::time::sleep(length)).await.is_some()
    }
}
