//! How a handler borrows a transaction, and how the transaction ends after the handler.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::Manager;
use futures_util::future::BoxFuture;
use onward_worker::Failure;
use tokio::sync::Notify;

use crate::config::destinations::Destinations;
use crate::handler::extract::Delivery;
use crate::handler::transaction::HandlerTransaction;
use crate::transaction::guard::TransactionGuard;

/// A transaction that a handler uses. It goes back into its slot when the handler drops it.
pub(crate) struct Borrowed<M: EndTransaction> {
    guard: Option<TransactionGuard<M>>,
    pub(crate) slot: Arc<Slot<M>>,
}

/// The place to which a handler's transaction goes back, for its commit or rollback.
pub(crate) struct Slot<M: EndTransaction> {
    back: Mutex<Option<TransactionGuard<M>>>,
    /// Whether the handler has written to the outbox.
    pub(crate) has_sent: AtomicBool,
    /// The trace of the message, for the messages that the handler sends.
    pub(crate) traceparent: Option<String>,
    /// Where the handler may send.
    pub(crate) destinations: Destinations,
    pub(crate) commit: M::Commit,
}

impl<M: EndTransaction> Borrowed<M> {
    /// Of the handler of a delivery.
    pub(crate) fn new<S>(guard: TransactionGuard<M>, delivery: &Delivery<'_, S>, commit: M::Commit) -> Self {
        let slot = Slot {
            back: Mutex::new(None),
            has_sent: AtomicBool::new(false),
            traceparent: delivery.message.traceparent(),
            destinations: delivery.database.destinations.clone(),
            commit,
        };
        Self { guard: Some(guard), slot: Arc::new(slot) }
    }
}

impl<M: EndTransaction> Slot<M> {
    /// Takes the transaction back after the handler has ended.
    pub(crate) fn take_back(&self) -> Result<TransactionGuard<M>, Failure> {
        let guard = self.back.lock().unwrap_or_else(PoisonError::into_inner).take();
        guard.ok_or_else(|| {
            Failure::retry("the handler has ended, but a task that it started still uses its transaction")
        })
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }
}

impl<M: EndTransaction> Deref for Borrowed<M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        self.guard.as_ref().expect("the guard is there until the drop")
    }
}

impl<M: EndTransaction> DerefMut for Borrowed<M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        self.guard.as_mut().expect("the guard is there until the drop")
    }
}

impl<M: EndTransaction> Drop for Borrowed<M> {
    fn drop(&mut self) {
        *self.slot.back.lock().unwrap_or_else(PoisonError::into_inner) = self.guard.take();
    }
}

impl<M: EndTransaction> fmt::Debug for Borrowed<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Borrowed").field("has_sent", &self.slot.has_sent()).finish_non_exhaustive()
    }
}

/// How a database ends the transaction of a handler.
pub(crate) trait EndTransaction: Manager + Sized {
    /// What was made at the begin for the commit.
    type Commit: Send + Sync;

    /// Commits after a success and rolls back after a failure.
    fn end(
        guard: TransactionGuard<Self>,
        commit: &Self::Commit,
        outcome: Result<(), Failure>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<M: EndTransaction + 'static> HandlerTransaction for Arc<Slot<M>>
where
    M::Type: Send,
{
    fn end(
        self: Box<Self>,
        outcome: Result<(), Failure>,
        wake: &Notify,
    ) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            // The handler's own failure is more useful than the error about a transaction that it has kept.
            let guard = self.take_back().map_err(|kept| outcome.as_ref().err().cloned().unwrap_or(kept))?;
            M::end(guard, &self.commit, outcome).await?;
            if self.has_sent() {
                wake.notify_one();
            }
            Ok(())
        })
    }
}
