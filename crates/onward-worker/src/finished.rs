use std::collections::{HashMap, VecDeque};
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
    all: HashMap<Arc<str>, Delete>,
    in_doubt: usize,
    /// Those whose delete was given up, the oldest first, and with them some that were deleted later.
    given_up: VecDeque<Arc<str>>,
}

/// The delete of a message that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delete {
    InDoubt,
    GivenUp,
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
        let mut ids = self.ids();
        if ids.all.insert(id.clone(), Delete::InDoubt) != Some(Delete::InDoubt) {
            ids.in_doubt += 1;
        }
    }

    /// The delete was given up. The answer to an earlier one, with the receipt of an earlier delivery, may have been taken for this one's.
    pub(crate) fn give_up(&self, id: &Arc<str>) {
        let mut ids = self.ids();
        match ids.all.insert(id.clone(), Delete::GivenUp) {
            Some(Delete::GivenUp) => return,
            Some(Delete::InDoubt) => ids.in_doubt -= 1,
            None => {}
        }
        ids.given_up.push_back(id.clone());
        if ids.given_up.len() > MAX_GIVEN_UP
            && let Some(oldest) = ids.given_up.pop_front()
            && ids.all.get(&oldest) == Some(&Delete::GivenUp)
        {
            ids.all.remove(&oldest);
        }
        drop(ids);
        self.settled.notify_waiters();
    }

    /// The queue has deleted it.
    pub(crate) fn forget(&self, id: &str) {
        let mut ids = self.ids();
        if ids.all.remove(id) == Some(Delete::InDoubt) {
            ids.in_doubt -= 1;
        }
        drop(ids);
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
        self.ids().in_doubt
    }

    /// Whether this process has handled the message before.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.ids().all.contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_is_in_doubt_until_it_is_answered_or_given_up() {
        let (finished, one, other) = (Finished::default(), Arc::from("one"), Arc::from("other"));
        finished.remember(&one);
        finished.give_up(&one);
        assert_eq!((finished.in_doubt(), finished.contains("one")), (0, true));
        // It came back, and is deleted this time.
        finished.remember(&one);
        finished.forget("one");
        finished.remember(&other);
        assert_eq!((finished.in_doubt(), finished.contains("one")), (1, false));
        finished.give_up(&other);
        finished.give_up(&other);
        finished.forget("other");
        assert_eq!((finished.in_doubt(), finished.contains("other")), (0, false));
        finished.give_up(&other);
        assert_eq!(
            (finished.in_doubt(), finished.contains("other")),
            (0, true),
            "another delete was confirmed"
        );
    }

    #[test]
    fn the_oldest_are_forgotten_only_if_they_were_given_up() {
        let finished = Finished::default();
        let ids: Vec<Arc<str>> = (0..=MAX_GIVEN_UP).map(|number| Arc::from(number.to_string())).collect();
        for id in &ids[..MAX_GIVEN_UP] {
            finished.remember(id);
            finished.give_up(id);
        }
        finished.remember(&ids[0]);
        finished.remember(&ids[MAX_GIVEN_UP]);
        finished.give_up(&ids[MAX_GIVEN_UP]);
        assert!(finished.contains("0") && finished.contains("1"));
        assert_eq!(finished.in_doubt(), 1);
    }
}
