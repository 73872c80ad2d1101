//! Several scripts in one transaction. Each is sent while the server still runs those before it, so that the server never waits for the
//! next one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::error::{AT_COMMIT, step_error};
use super::script::{BEGIN, BEGIN_STATEMENTS, FORGET, reset_after};
use super::session::{Answers, Postgres};
use crate::error::StepError;
use crate::journal::RowState;
use crate::step::Step;

/// How many scripts may be sent and not answered.
const AHEAD: usize = 16;

/// How many bytes of them. A longer script is sent all the same, when the server has answered those before it.
const AHEAD_BYTES: usize = 1 << 20;

/// A script on its way.
struct Sent {
    answers: Answers,
    bytes: usize,
    /// How many characters of the query come before the script.
    prefix: usize,
    /// How many statements those are.
    before: usize,
}

impl Postgres {
    /// A script that fails ends the transaction, so that the server refuses those that were sent behind it. None of them may end the
    /// transaction itself, for the next would then run without one: see `controls_transaction` in the rules of scripts.
    pub(super) async fn run_together(
        &mut self,
        steps: &[Step<'_>],
    ) -> Result<Vec<Duration>, (usize, StepError)> {
        self.forget().await.map_err(|error| (0, error))?;
        let (mut took, mut transaction) = (Vec::with_capacity(steps.len()), None);
        let (mut sent, mut bytes) = (VecDeque::<Sent>::new(), 0);
        let mut next = 0;
        let mut begun = Instant::now();
        while took.len() < steps.len() {
            while let Some(step) = steps.get(next).filter(|step| {
                sent.is_empty() || sent.len() < AHEAD && bytes + step.script.text().len() <= AHEAD_BYTES
            }) {
                let script = self.send_in_transaction(step, next == 0).await;
                bytes += script.bytes;
                sent.push_back(script);
                next += 1;
            }
            let Some(Sent { answers, bytes: answered, prefix, before }) = sent.pop_front() else { break };
            if let Err((done, error)) = answers.end(&mut transaction).await {
                let end = self.roll_back(transaction.as_deref()).await;
                let failed = took.len();
                let done = done.checked_sub(before);
                return Err((failed, step_error(steps[failed].script, prefix, done, &error, end)));
            }
            bytes -= answered;
            took.push(begun.elapsed());
            begun = Instant::now();
        }
        self.commit_together(steps, transaction.as_deref()).await.map(|()| took)
    }

    async fn send_in_transaction(&mut self, step: &Step<'_>, is_first: bool) -> Sent {
        let (begin, statements) = if is_first { (BEGIN, BEGIN_STATEMENTS) } else { ("", 0) };
        let forget = if std::mem::take(&mut self.is_used) { FORGET } else { "" };
        let (text, reset) = (step.script.text(), reset_after(step.script));
        self.is_used = !reset.is_empty();
        let query = format!("{begin}{forget}{text}\n;{reset}");
        Sent {
            answers: self.send(&query).await,
            bytes: text.len(),
            prefix: begin.len() + forget.len(),
            before: statements + forget.matches(';').count(),
        }
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
