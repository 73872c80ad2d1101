use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Messages that are done and not known to be deleted. One that comes back is deleted, not handled again.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    ids: Mutex<Ids>,
    /// Notified when a delete is answered or given up.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Ids {
    all: HashSet<Arc<str>>,
    /// Those whose delete was given up, the oldest first. Only these stay.
    given_up: VecDeque<Arc<str>>,
}

/// A bound for memory, far above what can be in doubt at once.
const MAX_GIVEN_UP: usize = 10_000;

impl Finished {
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a message as soon as its handler has ended, not only after the first delete that fails: while a delete
    /// is under way the lease may end and the message may come back.
    pub(crate) fn remember(&self, id: &Arc<str>) {
        self.ids().all.insert(id.clone());
    }

    /// The delete was given up.
    pub(crate) fn give_up(&self, id: &Arc<str>) {
        let mut ids = self.ids();
        ids.given_up.push_back(id.clone());
        if ids.given_up.len() > MAX_GIVEN_UP
            && let Some(oldest) = ids.given_up.pop_front()
        {
            ids.all.remove(&oldest);
        }
        drop(ids);
        self.settled.notify_waiters();
    }

    /// The queue has deleted it.
    pub(crate) fn forget(&self, id: &str) {
        self.ids().all.remove(id);
        self.settled.notify_waiters();
    }

    /// Waits until fewer than `limit` deletes are in doubt, and calls `hurry` as long as there are more.
    pub(crate) async fn fewer_in_doubt_than(&self, limit: usize, hurry: impl Fn()) {
        loop {
            let settled = self.settled.notified();
            if self.in_doubt() < limit {
                return;
            }
            hurry();
            settled.await;
        }
    }

    /// How many are done whose delete was neither answered nor given up.
    pub(crate) fn in_doubt(&self) -> usize {
        let ids = self.ids();
        ids.all.len().saturating_sub(ids.given_up.len())
    }

    /// Whether this process has handled the message before.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids().all.contains(id)
    }
}
