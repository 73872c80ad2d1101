use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::message::{Message, Receipt};
use crate::options::Options;
use crate::progress::Progress;
use crate::queue::BATCH;

/// The longest term, where the visibility timeout is not longer: a message whose process has died comes back within it.
const MAX_TERM: Duration = Duration::from_secs(60);

/// For how long the worker receives nothing after a lease has ended because the queue did not extend it. It would receive the message again, and
/// so take one of its receives for each lease.
const PAUSE: Duration = Duration::from_secs(30);

/// When the extension of a lease is tried again that has ended for want of one. It may succeed where nobody has received the message since, and
/// its answer tells that the queue extends leases again.
const AFTER_END: Duration = Duration::from_secs(5);

/// The claim of this worker on one message, from its receive to its acknowledgement. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    id: LeaseId,
    receipt: Receipt,
    receive_count: u32,
    progress: Arc<Progress>,
}

impl Lease {
    /// Begins the lease of a message that was just received.
    pub(crate) fn begin(leases: &Arc<Leases>, message: &Message, visibility: Duration) -> Self {
        let progress = Arc::new(Progress::of(message));
        let id = leases.insert(&message.receipt, visibility, progress.clone());
        let (receipt, receive_count) = (message.receipt.clone(), message.receive_count);
        Self { leases: leases.clone(), id, receipt, receive_count, progress }
    }

    /// How often the queue had delivered the message then, this delivery counted.
    pub(crate) fn receive_count(&self) -> u32 {
        self.receive_count
    }

    /// Where its message is.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// Lets it end by itself, because the message goes back to the queue.
    pub(crate) fn let_expire(&self) {
        self.leases.let_expire(self.id);
    }

    /// The queue gives the message to another worker after this time, unless the lease is extended before.
    pub(crate) fn shorten(&self, from: Instant, term: Duration) {
        self.leases.shorten(self.id, from, term);
    }

    /// Whether the queue still keeps the message for this worker.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held_until(Instant::now())
    }

    /// Whether it keeps the message until then, if the lease is not extended.
    pub(crate) fn is_held_until(&self, then: Instant) -> bool {
        self.leases.holds_until(self.id, then)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.remove(self.id);
    }
}

/// Tells leases apart. A receipt handle would, too, but to hash its hundreds of characters costs more than the rest of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LeaseId(u64);

/// The leases of all messages that this worker has, those that wait for a handler too.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<Held>,
    /// A lease is due before the renewal looks again.
    sooner: Notify,
    /// The queue extends leases again.
    extends: Notify,
}

#[derive(Debug, Default)]
struct Held {
    terms: HashMap<LeaseId, Term>,
    /// How many leases have begun so far.
    begun: u64,
    /// When the renewal looks again.
    wake: Option<Instant>,
    /// When a lease was last found to have ended because the queue did not extend it; none if it has extended another one since.
    unextended: Option<Instant>,
}

#[derive(Debug)]
struct Term {
    receipt: Receipt,
    since: Instant,
    /// When the last change was asked for that the queue has confirmed.
    asked: Instant,
    /// When the queue gives the message to another worker.
    ends: Instant,
    /// When it is to be extended; none while a call is under way, and once it may not be extended further.
    due: Option<Instant>,
    /// How long it was; the next one is twice as long, up to [`MAX_TERM`].
    length: Duration,
    /// Whether the message goes back to the queue, so that it is not extended any more.
    is_ending: bool,
    progress: Arc<Progress>,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, receipt: &Receipt, visibility: Duration, progress: Arc<Progress>) -> LeaseId {
        let since = Instant::now();
        let due = since + visibility / 2;
        let (receipt, ends) = (receipt.clone(), since + visibility);
        let (asked, due_first, is_ending) = (since, Some(due), false);
        let term =
            Term { receipt, since, asked, ends, due: due_first, length: visibility, is_ending, progress };
        let mut held = self.held();
        held.begun += 1;
        let id = LeaseId(held.begun);
        held.terms.insert(id, term);
        // Mostly it is due after those that are held already, so the renewal is not woken for each message.
        if held.wake.is_none_or(|wake| due < wake) {
            held.wake = Some(due);
            self.sooner.notify_one();
        }
        id
    }

    /// Ends a lease: another worker has the message, or it was acknowledged.
    pub(crate) fn remove(&self, id: LeaseId) {
        let mut held = self.held();
        let _ended = held.terms.remove(&id);
        let is_last = held.terms.is_empty() && held.unextended.take().is_some();
        // What has ended is freed after the lock.
        drop(held);
        if is_last {
            self.extends.notify_waiters();
        }
    }

    /// Completes when a lease is due before the renewal wanted to look again.
    pub(crate) fn sooner(&self) -> Notified<'_> {
        self.sooner.notified()
    }

    /// How many are held.
    pub(crate) fn count(&self) -> usize {
        self.held().terms.len()
    }

    /// Each message with the beginning and the end of its lease.
    pub(crate) fn held_messages(&self) -> Vec<(Arc<Progress>, Instant, Instant)> {
        let held = self.held();
        held.terms.values().map(|term| (term.progress.clone(), term.since, term.ends)).collect()
    }

    fn holds_until(&self, id: LeaseId, then: Instant) -> bool {
        self.held().terms.get(&id).is_some_and(|lease| lease.ends > then)
    }

    /// Takes up to a batch of leases that are due, or says when the next one will be.
    pub(crate) fn take_due(&self) -> Result<Vec<LeaseId>, Option<Instant>> {
        let now = Instant::now();
        let mut held = self.held();
        let mut due = Vec::new();
        let is_due = |lease: &Term| lease.due.is_some_and(|due| due <= now);
        for (id, lease) in held.terms.iter_mut().filter(|(_, lease)| is_due(lease)).take(BATCH) {
            lease.due = None;
            due.push(*id);
        }
        if due.is_empty() {
            held.wake = held.terms.values().filter_map(|lease| lease.due).min();
            return Err(held.wake);
        }
        Ok(due)
    }

    /// The queue has answered a call that extends leases.
    pub(crate) fn answered(&self) {
        if self.held().unextended.take().is_some() {
            self.extends.notify_waiters();
        }
    }

    /// A call that extends these leases has failed.
    pub(crate) fn unanswered(&self, leases: &[LeaseId]) {
        let (mut held, now) = (self.held(), Instant::now());
        if leases.iter().filter_map(|id| held.terms.get(id)).any(|lease| lease.ends <= now) {
            if held.unextended.is_none() {
                tracing::warn!(
                    "a lease has ended because the queue did not extend it; until it does the worker receives nothing"
                );
            }
            held.unextended = Some(now);
        }
    }

    /// Waits until the queue extends leases, as far as is known, or none is held.
    pub(crate) async fn extendable(&self) {
        loop {
            let extends = self.extends.notified();
            let until = {
                let held = self.held();
                let until = held.unextended.map(|since| since + PAUSE);
                until.filter(|until| *until > Instant::now() && !held.terms.is_empty())
            };
            let Some(until) = until else { return };
            tokio::select! {
                () = extends => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// The next term of each lease, never beyond the longest lease; none for one that has ended meanwhile. The leases come in the order
    /// of their terms.
    pub(crate) fn terms(
        &self,
        due: &[LeaseId],
        Options { max_lease, visibility, .. }: &Options,
    ) -> (Vec<LeaseId>, Vec<(Receipt, Duration)>) {
        let now = Instant::now();
        let held = self.held();
        let mut terms = (Vec::with_capacity(due.len()), Vec::with_capacity(due.len()));
        for id in due {
            let Some(lease) = held.terms.get(id) else { continue };
            // One second is kept back, because SQS counts in seconds and refuses what goes beyond the maximum.
            let left = max_lease.saturating_sub(now - lease.since).saturating_sub(Duration::from_secs(1));
            let term = (lease.length * 2).min(MAX_TERM.max(*visibility)).min(left);
            if term <= lease.ends.saturating_duration_since(now) {
                tracing::warn!(
                    ?max_lease,
                    "a message has reached its longest lease; the queue may deliver it again"
                );
            } else {
                terms.0.push(*id);
                terms.1.push((lease.receipt.clone(), term));
            }
        }
        terms
    }

    /// The queue has changed a lease. The answer to an earlier call than the last one tells nothing.
    pub(crate) fn extended(&self, id: LeaseId, from: Instant, term: Duration) {
        if let Some(lease) = self.held().terms.get_mut(&id)
            && from >= lease.asked
        {
            (lease.asked, lease.ends, lease.length) = (from, from + term, term);
            lease.due = (!lease.is_ending).then_some(from + term / 2);
        }
    }

    fn shorten(&self, id: LeaseId, from: Instant, term: Duration) {
        self.extended(id, from, term);
        self.held().wake = None;
        self.sooner.notify_one();
    }

    /// The message goes back to the queue, so its lease is not extended any more.
    fn let_expire(&self, id: LeaseId) {
        if let Some(lease) = self.held().terms.get_mut(&id) {
            (lease.due, lease.is_ending) = (None, true);
        }
    }

    /// Tries again a little later.
    pub(crate) fn postpone(&self, id: LeaseId) {
        if let Some(lease) = self.held().terms.get_mut(&id) {
            let now = Instant::now();
            let next = now + (lease.ends.saturating_duration_since(now) / 4).max(Duration::from_millis(100));
            let next = if next < lease.ends { next } else { now + AFTER_END };
            lease.due = (!lease.is_ending).then_some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_an_earlier_call_changes_nothing() {
        let (leases, second) = (Arc::new(Leases::default()), Duration::from_secs(1));
        let lease = Lease::begin(&leases, &Message::default(), 10 * second);
        let earlier = Instant::now();
        tokio::time::advance(second).await;
        lease.shorten(Instant::now(), 2 * second);
        leases.extended(lease.id, earlier, 60 * second);
        tokio::time::advance(3 * second).await;
        assert!(!lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_back_is_not_extended_again() {
        let (leases, second) = (Arc::new(Leases::default()), Duration::from_secs(1));
        let lease = Lease::begin(&leases, &Message::default(), 10 * second);
        lease.let_expire();
        leases.extended(lease.id, Instant::now(), 10 * second);
        leases.postpone(lease.id);
        tokio::time::advance(9 * second).await;
        assert!(lease.is_held());
        assert_eq!(leases.take_due(), Err(None));
    }
}
