use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::Message;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::letters::client::QueueClient;
use crate::letters::letter;
use crate::letters::look::{Limits, Seen, look};
use crate::process::exit::CommandError;

/// For how long letters are shown again without another look, so that two persons who look do not hide them from each other.
const FRESH: Duration = Duration::from_secs(15);

/// For how long they stay in memory: as long as a person may need to open one of a list.
const KEPT: Duration = Duration::from_secs(600);

/// How long a page waits for a look. The look goes on, so that what it has received is given back whoever has left.
const MOST: Duration = Duration::from_secs(10);

/// The dead letters of a queue, as they were seen last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letters(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: Mutex<Option<Looked>>,
    /// Held by a look, and by an action: each would hide letters from the other.
    hands: Arc<tokio::sync::Mutex<()>>,
}

/// One look at the dead letters.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub at: Instant,
    /// How many were looked at, at the most.
    pub max: usize,
    pub letters: Arc<[Message]>,
    /// How many belong to another queue, which shares the dead-letter queue.
    pub of_others: usize,
    pub has_more: bool,
}

impl Letters {
    fn inner(&self) -> MutexGuard<'_, Option<Looked>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, max: usize) -> Option<Looked> {
        self.last().filter(|looked| looked.at.elapsed() < FRESH && looked.max >= max)
    }

    /// Up to so many letters: those of a fresh look, or of a new one, which gives back all that it receives.
    pub(super) async fn look(
        &self,
        queue: &QueueClient,
        max: usize,
        tasks: &TaskTracker,
    ) -> Result<Looked, String> {
        if let Some(looked) = self.fresh(max) {
            return Ok(looked);
        }
        let begun = Instant::now();
        let busy = "another look or an action has the letters at present";
        let hands = timeout(MOST, self.hands()).await.map_err(|_| busy)?;
        if let Some(looked) = self.fresh(max) {
            return Ok(looked);
        }
        let (letters, queue) = (self.clone(), queue.clone());
        let looking = tasks.spawn(async move {
            let looked = look_at(&queue, max, Instant::now() + MOST).await;
            if let Ok(looked) = &looked {
                *letters.inner() = Some(looked.clone());
            }
            drop(hands);
            looked
        });
        match timeout(MOST.saturating_sub(begun.elapsed()).max(Duration::from_secs(1)), looking).await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("SQS has not answered within {MOST:?}; the look goes on")),
        }
    }

    /// The right to receive letters; an action has it as long as it runs.
    pub(super) async fn hands(&self) -> OwnedMutexGuard<()> {
        self.0.hands.clone().lock_owned().await
    }

    /// What was seen last, without another look.
    pub(super) fn last(&self) -> Option<Looked> {
        self.inner().clone()
    }

    /// A letter that was seen, by SQS's id of it, if nothing has changed since. Two letters can have one identity.
    pub(super) fn seen(&self, message_id: &str) -> Option<Message> {
        self.last()?.letters.iter().find(|letter| letter.message_id() == Some(message_id)).cloned()
    }

    /// Frees letters that nobody has looked at for long.
    pub(super) fn free_old(&self) {
        self.inner().take_if(|looked| looked.at.elapsed() >= KEPT);
    }

    /// The letters have changed: the next look is a new one.
    pub(super) fn forget(&self) {
        *self.inner() = None;
    }
}

async fn look_at(queue: &QueueClient, max: usize, until: Instant) -> Result<Looked, String> {
    let looked = async {
        let dead = queue.dead_letters().await?;
        let limits = Limits { messages: max, until: Some(until), stop: CancellationToken::new() };
        let seen = look(queue, &dead, limits).await?;
        Ok::<_, CommandError>((seen, queue.is_only_source_of(&dead).await))
    };
    let (Seen { messages, has_more }, is_only) = looked.await.map_err(|error| error.message)?;
    let all = messages.len();
    let letters: Arc<[Message]> =
        messages.into_iter().filter(|message| letter::belongs_to(message, queue.name(), is_only)).collect();
    Ok(Looked { at: Instant::now(), max, of_others: all - letters.len(), letters, has_more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_freed_when_they_are_old() {
        let letters = Letters::default();
        let looked = |age: Duration| Looked {
            at: Instant::now().checked_sub(age).expect("the machine runs for longer"),
            max: 1,
            letters: Arc::new([Message::builder().message_id("id-1").build()]),
            of_others: 0,
            has_more: false,
        };
        *letters.inner() = Some(looked(KEPT / 2));
        letters.free_old();
        assert!(letters.seen("id-1").is_some());
        *letters.inner() = Some(looked(KEPT));
        letters.free_old();
        assert!(letters.seen("id-1").is_none());
    }
}
