use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::fault::{Fault, FaultKind};
use crate::ledger::count;
use crate::queue::{BATCH, Queue, Receipt};
use crate::shutdown::Core;

/// How many calls that extend leases may be on their way at once.
const CONCURRENT_CALLS: usize = 8;

/// The longest such call: one that hangs must not keep the next attempt from being in time.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// What is ours for a time: every message from its receive to its acknowledgement, waiting ones too.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<Held>,
    /// A lease is due before the keeper looks again.
    sooner: Notify,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Held {
    leases: HashMap<Receipt, Lease>,
    /// When the keeper looks again.
    wake: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    since: Instant,
    /// When the queue gives the message to somebody else.
    ends: Instant,
    /// When it is to be extended; none while it is, and once it may not be extended further.
    due: Option<Instant>,
    /// How long the last term was; the next one is twice as long.
    term: Duration,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the lease of a message that was just received.
    pub(crate) fn begin(&self, receipt: &Receipt, visibility: Duration) {
        let since = Instant::now();
        let due = since + visibility / 2;
        let lease = Lease { since, ends: since + visibility, due: Some(due), term: visibility };
        let mut held = self.held();
        held.leases.insert(receipt.clone(), lease);
        // Mostly it is due after those that are held already; the keeper is not woken for each message.
        if held.wake.is_none_or(|wake| due < wake) {
            held.wake = Some(due);
            self.sooner.notify_one();
        }
    }

    /// Ends it: the message is deleted, given back or lost.
    pub(crate) fn end(&self, receipt: &Receipt) {
        self.held().leases.remove(receipt);
        self.ended.notify_one();
    }

    /// Waits until fewer than `most` messages are ours.
    pub(crate) async fn fewer_than(&self, most: usize) {
        loop {
            let ended = self.ended.notified();
            if self.held().leases.len() < most {
                return;
            }
            ended.await;
        }
    }

    /// Whether the message is still ours.
    pub(crate) fn holds(&self, receipt: &Receipt) -> bool {
        self.held().leases.get(receipt).is_some_and(|lease| lease.ends > Instant::now())
    }

    /// Takes up to a batch of leases that are due, or says when the next one will be.
    fn take_due(&self) -> Result<Vec<Receipt>, Option<Instant>> {
        let now = Instant::now();
        let mut held = self.held();
        let mut due = Vec::new();
        let is_due = |lease: &Lease| lease.due.is_some_and(|due| due <= now);
        for (receipt, lease) in held.leases.iter_mut().filter(|(_, lease)| is_due(lease)).take(BATCH) {
            lease.due = None;
            due.push(receipt.clone());
        }
        if due.is_empty() {
            held.wake = held.leases.values().filter_map(|lease| lease.due).min();
            return Err(held.wake);
        }
        Ok(due)
    }

    /// The next term of each lease, never beyond the longest lease; none for one that has ended meanwhile.
    fn terms(&self, due: &[Receipt], max_lease: Duration) -> Vec<(Receipt, Duration)> {
        let now = Instant::now();
        let mut held = self.held();
        let mut terms = Vec::with_capacity(due.len());
        for receipt in due {
            let Some(lease) = held.leases.get_mut(receipt) else { continue };
            // A whole second is kept, since SQS counts in seconds and refuses what goes beyond the maximum.
            let left = max_lease.saturating_sub(now - lease.since).saturating_sub(Duration::from_secs(1));
            let term = (lease.term * 2).min(left);
            if term <= lease.ends.saturating_duration_since(now) {
                tracing::warn!(?max_lease, "a message reaches its longest lease and may be delivered again");
            } else {
                terms.push((receipt.clone(), term));
            }
        }
        terms
    }

    fn extended(&self, receipt: &Receipt, from: Instant, term: Duration) {
        if let Some(lease) = self.held().leases.get_mut(receipt) {
            *lease = Lease { ends: from + term, due: Some(from + term / 2), term, ..*lease };
        }
    }

    /// Tries again a little later, as long as there is time.
    fn postpone(&self, receipt: &Receipt) {
        if let Some(lease) = self.held().leases.get_mut(receipt) {
            let now = Instant::now();
            let next = now + (lease.ends.saturating_duration_since(now) / 4).max(Duration::from_millis(100));
            lease.due = (next < lease.ends).then_some(next);
        }
    }
}

/// Extends leases as they become due, by tens, for as long as it is polled.
pub(crate) async fn keep<Q: Queue>(core: Arc<Core<Q>>) {
    let mut extending = FuturesUnordered::new();
    loop {
        let sooner = core.leases.sooner.notified();
        if extending.len() == CONCURRENT_CALLS {
            extending.next().await;
        }
        let next = match core.leases.take_due() {
            Ok(due) => {
                extending.push(extend(&core, due));
                continue;
            }
            Err(next) => next,
        };
        tokio::select! {
            Some(()) = extending.next() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = sooner => {}
        }
    }
}

async fn extend<Q: Queue>(core: &Core<Q>, due: Vec<Receipt>) {
    let terms = core.leases.terms(&due, core.options.max_lease);
    if terms.is_empty() {
        return;
    }
    count(&core.monitor.counters().visibility_calls, 1);
    let asked = Instant::now();
    let limit = LONGEST_CALL.min(core.options.visibility / 4);
    let hung = || Err(Fault::new(FaultKind::Network, "the call did not end in time"));
    match timeout(limit, core.queue.change_visibility(&terms)).await.unwrap_or_else(|_| hung()) {
        Ok(refused) => {
            for (index, (receipt, term)) in terms.iter().enumerate() {
                match refused.iter().find(|refused| refused.index == index) {
                    None => core.leases.extended(receipt, asked, *term),
                    Some(refused) if refused.final_ => {
                        // It is acknowledged already, or somebody else has it; both end the lease.
                        tracing::debug!(reason = %refused.reason, "a lease could not be extended");
                        core.leases.end(receipt);
                    }
                    Some(_) => core.leases.postpone(receipt),
                }
            }
        }
        Err(fault) => {
            count(&core.monitor.counters().failed_calls, 1);
            tracing::warn!(%fault, messages = terms.len(), "extending leases failed and is tried again");
            for (receipt, _) in &terms {
                core.leases.postpone(receipt);
            }
        }
    }
}
