use std::time::Duration;

use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, timeout};

use crate::claim::{Claim, with_tail};
use crate::ledger::count;
use crate::queue::{BATCH, Queue};
use crate::shared::Shared;

/// How long a suspicious message waits until nothing else is under way here.
const MAX_WAIT_FOR_OTHERS: Duration = Duration::from_secs(30);

/// How long the leases of a suspicious message of a FIFO queue and of its tail are when its attempt begins. Its group waits as
/// long after each process that it kills, and the queue may allow it many.
const SHORT_LEASE: Duration = Duration::from_secs(5);

/// How long the call that shortens a lease may take.
const MAX_CALL: Duration = Duration::from_secs(1);

/// The right to run: beside others or, for a suspicious message, alone. The messages of a group hand it on, so that a
/// suspicious message waits for all that are under way here, not only for those whose handlers run: if it kills the process, the
/// others pay for it with a receive.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    None,
    Beside { _shared: RwLockReadGuard<'a, ()> },
    Alone(RwLockWriteGuard<'a, ()>),
}

impl<'a> Turn<'a> {
    /// Waits until the message may run. The tail of its group waits with it.
    pub(crate) async fn take<Q: Queue, H>(
        &mut self,
        shared: &'a Shared<Q, H>,
        claim: &mut Claim,
        tail: &mut [Box<Claim>],
    ) {
        if !claim.is_suspicious {
            if let Turn::None = self {
                *self = Turn::Beside { _shared: shared.process.beside().await };
            }
            return;
        }
        // In a box, because it is rare.
        Box::pin(self.take_alone(shared, claim, tail)).await;
    }

    async fn take_alone<Q: Queue, H>(
        &mut self,
        shared: &'a Shared<Q, H>,
        claim: &mut Claim,
        tail: &mut [Box<Claim>],
    ) {
        claim.caution.get_or_insert_with(|| shared.capacity.slow_start().be_careful());
        self.give_up();
        *self = match timeout(MAX_WAIT_FOR_OTHERS, shared.process.alone()).await {
            Ok(alone) => Turn::Alone(alone),
            Err(_) => Turn::Beside { _shared: shared.process.beside().await },
        };
        if self.is_alone() && shared.core.queue.is_fifo() {
            shorten(shared, claim, tail).await;
        }
    }

    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Turn::Alone(_))
    }

    /// Others may run beside it from now on.
    pub(crate) fn let_others_run(&mut self) {
        *self = match std::mem::replace(self, Turn::None) {
            Turn::Alone(alone) => Turn::Beside { _shared: alone.downgrade() },
            other => other,
        };
    }

    /// Gives the right back, for a time in which nothing runs.
    pub(crate) fn give_up(&mut self) {
        *self = Turn::None;
    }
}

/// Shortens the leases of a group, which the renewal then extends as any other, in terms that grow again.
async fn shorten<Q: Queue, H>(shared: &Shared<Q, H>, claim: &mut Claim, tail: &mut [Box<Claim>]) {
    // The group may have been delivered again while it waited for its turn.
    let held = with_tail(claim, tail).filter_map(|claim| claim.is_held().then_some(&claim.lease));
    let leases: Vec<_> = held.collect();
    for batch in leases.chunks(BATCH) {
        let entries: Vec<_> = batch.iter().map(|lease| (lease.receipt().clone(), SHORT_LEASE)).collect();
        count(&shared.core.monitor.counters().visibility_calls, 1);
        let asked = Instant::now();
        let answer = timeout(MAX_CALL, shared.core.queue.change_visibility(&entries)).await;
        let refused = match answer {
            Ok(Ok(refused)) => refused,
            Ok(Err(error)) => {
                tracing::debug!(%error, "leases could not be shortened");
                Vec::new()
            }
            Err(_) => {
                tracing::debug!("the call that shortens leases did not end in time");
                Vec::new()
            }
        };
        for (index, lease) in batch.iter().enumerate() {
            // Another worker may have what was refused. Without an answer the queue may have shortened the lease.
            if refused.iter().all(|refused| refused.index != index) {
                lease.shorten(asked, SHORT_LEASE);
            }
        }
    }
}
