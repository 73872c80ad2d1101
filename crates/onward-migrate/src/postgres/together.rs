//! Several scripts in one transaction. Each is sent while the server still runs those before it, so that the server never waits for the
//! next one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::error::{AT_COMMIT, step_error};
use super::script::{BEGIN, FORGET, reset_after};
use super::session::{Answers, Postgres};
use crate::error::StepError;
use crate::journal::RowState;
use crate::step::Step;

/// The most scripts that are sent and not answered. Few, because the server logs each that it refuses after a failure.
const AHEAD: usize = 4;

/// The most bytes of scripts that are sent and not answered. A longer script is sent alone.
const AHEAD_BYTES: usize = 1 << 18;

/// A script on its way.
struct Sent {
    answers: Answers,
    bytes: usize,
    /// What is sent before the script, in the same query.
    prefix: &'static str,
}

impl Postgres {
    /// Runs the scripts and writes their journal rows, all or nothing.
    ///
    /// After a failure the server refuses what was sent behind it. For that the transaction must be open before the first script is sent: in a
    /// query with a syntax error the server does not run the BEGIN either. And no script may end the transaction, which is a rule for scripts.
    pub(super) async fn run_together(
        &mut self,
        steps: &[Step<'_>],
    ) -> Result<Vec<Duration>, (usize, StepError)> {
        self.forget().await.map_err(|error| (0, error))?;
        let mut transaction = None;
        if let Err((_, error)) = self.run_in(BEGIN, &mut transaction).await {
            let end = self.roll_back(transaction.as_deref()).await;
            return Err((0, step_error(steps[0].script, BEGIN.len(), None, &error, end)));
        }
        let (mut took, mut begun) = (Vec::with_capacity(steps.len()), Instant::now());
        let (mut waiting, mut sent) = (steps.iter().peekable(), VecDeque::new());
        loop {
            while let Some(step) = waiting.next_if(|step| has_room(&sent, step)) {
                sent.push_back(self.send_behind(step).await);
            }
            let Some(Sent { answers, prefix, .. }) = sent.pop_front() else { break };
            if let Err((done, error)) = answers.end(&mut transaction).await {
                // Of those that were sent behind it, none has reset what this one may have left in the session.
                self.is_used = true;
                let end = self.roll_back(transaction.as_deref()).await;
                let (failed, done) = (took.len(), done.checked_sub(prefix.matches(';').count()));
                return Err((failed, step_error(steps[failed].script, prefix.len(), done, &error, end)));
            }
            took.push(begun.elapsed());
            begun = Instant::now();
        }
        self.commit_together(steps, transaction.as_deref()).await.map(|()| took)
    }

    async fn send_behind(&mut self, step: &Step<'_>) -> Sent {
        let prefix = if std::mem::take(&mut self.is_used) { FORGET } else { "" };
        let (text, reset) = (step.script.text(), reset_after(step.script));
        self.is_used = !reset.is_empty();
        let answers = self.send(&format!("{prefix}{text}\n;{reset}")).await;
        Sent { answers, bytes: text.len(), prefix }
    }

    /// Writes the journal rows and commits. The rows come last, because between statements that change the catalogs each would cost several
    /// times as much.
    async fn commit_together(
        &self,
        steps: &[Step<'_>],
        transaction: Option<&str>,
    ) -> Result<(), (usize, StepError)> {
        let rows: String = steps.iter().map(|step| self.insert(step, RowState::Applied, "NULL")).collect();
        let Err((done, error)) = self.run(&format!("{rows}COMMIT")).await else { return Ok(()) };
        let end = self.roll_back(transaction).await;
        let failed = done.min(steps.len() - 1);
        let mut error = step_error(steps[failed].script, rows.len(), None, &error, end);
        if let StepError::Server(server) = &mut error {
            server.in_journal = done < steps.len();
            if !server.in_journal {
                server.context = Some(AT_COMMIT.to_owned());
            }
        }
        Err((failed, error))
    }
}

fn has_room(sent: &VecDeque<Sent>, next: &Step<'_>) -> bool {
    let bytes: usize = sent.iter().map(|script| script.bytes).sum();
    sent.is_empty() || sent.len() < AHEAD && bytes + next.script.text().len() <= AHEAD_BYTES
}
