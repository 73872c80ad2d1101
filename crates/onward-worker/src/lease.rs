use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::ledger::count;
use crate::queue::{BATCH, Queue, Receipt};
use crate::shutdown::Core;

/// What is ours for a time: every message from its receive to its acknowledgement, waiting ones too.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<Receipt, Lease>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    since: Instant,
    /// When the queue gives the message to somebody else.
    ends: Instant,
    /// When it is to be extended; none once it may not be extended further.
    due: Option<Instant>,
    /// How long the last term was; the next one is twice as long.
    term: Duration,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<Receipt, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the lease of a message that was just received.
    pub(crate) fn begin(&self, receipt: &Receipt, visibility: Duration) {
        let since = Instant::now();
        let due = Some(since + visibility / 2);
        let lease = Lease { since, ends: since + visibility, due, term: visibility };
        self.held().insert(receipt.clone(), lease);
        self.changed.notify_one();
    }

    /// Ends it: the message is deleted, given back or lost.
    pub(crate) fn end(&self, receipt: &Receipt) {
        self.held().remove(receipt);
    }

    /// Whether the message is still ours.
    pub(crate) fn holds(&self, receipt: &Receipt) -> bool {
        self.held().get(receipt).is_some_and(|lease| lease.ends > Instant::now())
    }

    /// Up to a batch of leases that are due, or when the next one will be.
    fn due(&self) -> Result<Vec<Receipt>, Option<Instant>> {
        let now = Instant::now();
        let held = self.held();
        let due: Vec<_> = held
            .iter()
            .filter(|(_, lease)| lease.due.is_some_and(|due| due <= now))
            .map(|(receipt, _)| receipt.clone())
            .take(BATCH)
            .collect();
        if due.is_empty() { Err(held.values().filter_map(|lease| lease.due).min()) } else { Ok(due) }
    }

    /// The next term of each lease, never beyond the longest lease; none for one that has ended meanwhile.
    fn terms(&self, due: &[Receipt], max_lease: Duration) -> Vec<(Receipt, Duration)> {
        let now = Instant::now();
        let mut held = self.held();
        let mut terms = Vec::with_capacity(due.len());
        for receipt in due {
            let Some(lease) = held.get_mut(receipt) else { continue };
            // A whole second is kept, since SQS counts in seconds and refuses what goes beyond the maximum.
            let left = max_lease.saturating_sub(now - lease.since).saturating_sub(Duration::from_secs(1));
            let term = (lease.term * 2).min(left);
            if term <= lease.ends.saturating_duration_since(now) {
                lease.due = None;
                tracing::warn!(?max_lease, "a message reaches its longest lease and may be delivered again");
            } else {
                terms.push((receipt.clone(), term));
            }
        }
        terms
    }

    fn extended(&self, receipt: &Receipt, from: Instant, term: Duration) {
        if let Some(lease) = self.held().get_mut(receipt) {
            *lease = Lease { ends: from + term, due: Some(from + term / 2), term, ..*lease };
        }
    }

    /// Tries again a little later, as long as there is time.
    fn postpone(&self, receipt: &Receipt) {
        if let Some(lease) = self.held().get_mut(receipt) {
            let now = Instant::now();
            let next = now + (lease.ends.saturating_duration_since(now) / 4).max(Duration::from_millis(100));
            lease.due = (next < lease.ends).then_some(next);
        }
    }
}

/// Extends leases as they become due, by tens, for as long as it is polled.
pub(crate) async fn keep<Q: Queue>(core: Arc<Core<Q>>) {
    loop {
        let changed = core.leases.changed.notified();
        match core.leases.due() {
            Ok(due) => extend(&core, &due).await,
            Err(Some(next)) => {
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = changed => {}
                }
            }
            Err(None) => changed.await,
        }
    }
}

async fn extend<Q: Queue>(core: &Core<Q>, due: &[Receipt]) {
    let terms = core.leases.terms(due, core.options.max_lease);
    if terms.is_empty() {
        return;
    }
    count(&core.monitor.counters().visibility_calls, 1);
    let asked = Instant::now();
    match core.queue.change_visibility(&terms).await {
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
