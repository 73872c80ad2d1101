//! What runs around a script: its transaction with a mark in it, its row in the journal, and what the server says of its end.

use std::time::{Duration, Instant};

use onward_script::{Script, batches};

use super::error::{acts_as_another, batch_error, journal_error, left_behind};
use super::session::SqlServer;
use super::value::number;
use crate::error::{StepError, TransactionEnd};
use crate::journal::RowState;
use crate::step::Step;

/// The temporary table whose row goes when the transaction of a script is rolled back.
const OPEN: &str = "#onward_transaction";

/// The answers of a batch that ends a script, apart from a count of transactions.
pub(super) const DONE: i32 = -1;
pub(super) const ACTS_AS_ANOTHER: i32 = -2;

impl SqlServer {
    /// Resets the session, and begins the transaction of the next script, with a mark in it.
    /// A temporary table obeys the transaction, needs no right, and keeps nobody waiting.
    pub(super) fn begin(&self) -> String {
        format!(
            "{}\nIF OBJECT_ID(N'tempdb..{OPEN}') IS NULL CREATE TABLE {OPEN} (is_open bit NOT NULL); DELETE FROM {OPEN}; \
             BEGIN TRANSACTION; INSERT INTO {OPEN} VALUES (1);",
            self.reset()
        )
    }

    /// Runs a script's batches in order.
    pub(super) async fn run(&mut self, script: &Script) -> Result<(), StepError> {
        let source = script.text();
        let all = batches(source);
        for (index, batch) in all.iter().enumerate() {
            for _ in 0..batch.count {
                if let Err(error) = self.drain(&source[batch.span.clone()]).await {
                    let numbered = (all.len() > 1).then_some((index + 1, all.len()));
                    return Err(batch_error(source, batch, numbered, error));
                }
            }
        }
        Ok(())
    }

    /// Writes a script's row if the script left the transaction open, and commits if `commit` is true.
    async fn finish(&mut self, step: &Step<'_>, took: Duration, commit: bool) -> Result<(), StepError> {
        let commit = if commit { "COMMIT TRANSACTION; " } else { "" };
        let batch = format!(
            "SET XACT_ABORT ON; IF {} SELECT {ACTS_AS_ANOTHER}; ELSE IF @@TRANCOUNT = 1 AND XACT_STATE() = 1 BEGIN {} \
             {commit}SELECT {DONE}; END ELSE SELECT @@TRANCOUNT;",
            self.acts_as_another,
            self.insert(step, RowState::Applied, Some(took))
        );
        self.conclude(&batch).await
    }

    /// Runs the batch that ends a script, as the session's own user. An `EXECUTE AS` of the script lasts until its `REVERT`,
    /// and that user may not write the journal.
    /// <https://learn.microsoft.com/sql/t-sql/statements/revert-transact-sql>
    pub(super) async fn conclude(&mut self, batch: &str) -> Result<(), StepError> {
        let mut answer = self.answer(batch).await?;
        if answer == Some(ACTS_AS_ANOTHER) {
            // Reverts nested `EXECUTE AS` one by one; one `WITH NO REVERT` cannot be reverted.
            let revert = format!(
                "DECLARE @left int = 32; WHILE @left > 0 AND {} BEGIN REVERT; SET @left = @left - 1; END",
                self.acts_as_another
            );
            self.rows(&revert).await.map_err(journal_error)?;
            answer = self.answer(batch).await?;
        }
        match answer {
            Some(DONE) => Ok(()),
            Some(ACTS_AS_ANOTHER) => Err(StepError::Server(Box::new(acts_as_another()))),
            open => Err(StepError::Server(Box::new(left_behind(open)))),
        }
    }

    async fn answer(&mut self, batch: &str) -> Result<Option<i32>, StepError> {
        let rows = self.rows(batch).await.map_err(journal_error)?;
        Ok(number(&rows))
    }

    /// Ends a failed transaction, so that the session can go on, and asks the server what became of it: where the mark is still
    /// there, the script has committed.
    pub(super) async fn roll_back(&mut self) -> TransactionEnd {
        let batch =
            format!("{} IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SELECT COUNT(*) FROM {OPEN};", self.reset());
        match self.rows(&batch).await.map(|rows| number(&rows)) {
            Ok(Some(0)) => TransactionEnd::RolledBack,
            Ok(Some(_)) => TransactionEnd::ByScript,
            Ok(None) => TransactionEnd::Unknown,
            Err(error) => {
                tracing::debug!(%error, "the server did not say what became of the transaction");
                TransactionEnd::Unknown
            }
        }
    }

    /// As [`SqlServer::roll_back`], for an error that is to say it. Where the error itself says that the script has ended its
    /// transaction, by a `ROLLBACK` even, that counts: what ran after it stays.
    pub(super) async fn failed(&mut self, error: StepError) -> StepError {
        let end = self.roll_back().await;
        match error {
            StepError::Server(mut error) => {
                if error.end != TransactionEnd::ByScript {
                    error.end = end;
                }
                StepError::Server(error)
            }
            lost @ StepError::Lost(_) => lost,
        }
    }

    pub(super) async fn apply_in_transaction(
        &mut self,
        step: &Step<'_>,
        commit: bool,
    ) -> Result<Duration, StepError> {
        let begun = Instant::now();
        self.run(step.script).await?;
        let took = begun.elapsed();
        self.finish(step, took, commit).await?;
        Ok(took)
    }
}
