//! How long what only reads the schema waits for the database.

use std::time::Duration;

use onward_migrate::Error;
use tokio::time::timeout;

use crate::process::exit::{CommandError, Exit};

/// The answers are small, so one that takes longer waits for a lock.
const MOST: Duration = Duration::from_secs(30);

/// Waits for an answer of the database. A session may hold a lock on a table that is read, for as long as it likes.
pub(crate) async fn in_time<T>(reading: impl Future<Output = Result<T, Error>>) -> Result<T, CommandError> {
    let answer = timeout(MOST, reading).await.map_err(|_| {
        let message = format!("the database has not answered within {MOST:?}");
        let help = "see which session holds a lock on the journal, or on the history table of another tool";
        CommandError::new(Exit::Failed, message, help)
    })?;
    Ok(answer?)
}
