use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::message::Message;

/// Where a message is between its receive and its end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It waits for a free handler, or for what must not run beside it.
    Waiting,
    /// Its handler runs.
    Running,
    /// It waits here for its next attempt.
    Parked { until: Instant },
    /// It is done, and the queue has not confirmed its deletion.
    Deleting,
    /// It goes back to the queue.
    Returning,
}

/// The progress of one message, written by its task and read by who watches.
#[derive(Debug)]
pub(crate) struct Progress {
    pub identity: String,
    pub sent: Option<SystemTime>,
    now: Mutex<(Place, u32)>,
}

impl Progress {
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            identity: message.identity().to_owned(),
            sent: message.sent,
            now: Mutex::new((Place::Waiting, 0)),
        }
    }

    fn now(&self) -> MutexGuard<'_, (Place, u32)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its place, and which attempt runs or ran last.
    pub(crate) fn read(&self) -> (Place, u32) {
        *self.now()
    }

    pub(crate) fn moves_to(&self, place: Place) {
        self.now().0 = place;
    }

    /// An attempt begins.
    pub(crate) fn runs(&self, attempt: u32) {
        *self.now() = (Place::Running, attempt);
    }

    /// Takes over where an earlier delivery of the same message is.
    pub(crate) fn continues(&self, earlier: &Self) {
        *self.now() = earlier.read();
    }
}
