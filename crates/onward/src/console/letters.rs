use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::Message;
use tokio::sync::Mutex;

use crate::letters::client::QueueClient;
use crate::letters::letter;
use crate::letters::look::look;
use crate::process::exit::CommandError;

/// For how long letters are shown again without another look, so that two persons who look do not hide them from each other.
const FRESH: Duration = Duration::from_secs(15);

/// The dead letters of a queue, as they were seen last.
#[derive(Debug, Default)]
pub(crate) struct Letters(Mutex<Option<Looked>>);

/// One look at the dead letters.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub at: Instant,
    /// How many were looked at, at the most.
    pub max: usize,
    pub letters: Arc<[Message]>,
}

impl Letters {
    /// Up to so many letters: those of a fresh look, or of a new one, which gives back all that it receives.
    pub(super) async fn look(&self, queue: &QueueClient, max: usize) -> Result<Looked, CommandError> {
        let mut last = self.0.lock().await;
        let is_fresh = |looked: &Looked| looked.at.elapsed() < FRESH && looked.max >= max;
        if let Some(looked) = last.as_ref().filter(|looked| is_fresh(looked)) {
            return Ok(looked.clone());
        }
        let dead = queue.dead_letters().await?;
        let letters = look(queue, &dead, max).await?;
        let looked = Looked { at: Instant::now(), max, letters: letters.into() };
        *last = Some(looked.clone());
        Ok(looked)
    }

    /// What was seen last, without another look.
    pub(super) async fn last(&self) -> Option<Looked> {
        self.0.lock().await.clone()
    }

    /// A letter that was seen, if nothing has changed since.
    pub(super) async fn seen(&self, identity: &str) -> Option<Message> {
        let last = self.0.lock().await;
        last.as_ref()?.letters.iter().find(|letter| letter::identity(letter) == identity).cloned()
    }

    /// The letters have changed: the next look is a new one.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
