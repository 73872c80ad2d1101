//! Connections with an open transaction, and how a handler borrows one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool::managed::{Manager, Object};
use onward_worker::Failure;

/// A pooled connection with an open transaction. One whose transaction was not ended in order is closed instead of going
/// back to the pool, and the server rolls back.
pub(crate) struct Open<M: Manager>(Option<Object<M>>);

impl<M: Manager> Open<M> {
    /// Whoever begins the transaction does so behind this, so that none is open that nobody guards.
    pub(crate) fn new(connection: Object<M>) -> Self {
        Self(Some(connection))
    }

    /// The transaction has ended, so the connection may be lent again.
    pub(crate) fn ended(mut self) {
        self.0 = None;
    }

    /// Says what became of the work, after a commit if it succeeded and a rollback if it failed.
    pub(crate) fn settled<E: std::error::Error>(
        self,
        ended: Result<(), E>,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        match ended {
            Ok(()) => self.ended(),
            Err(error) if outcome.is_ok() => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the rollback is the server's to make"),
        }
        outcome
    }
}

impl<M: Manager> Deref for Open<M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        self.0.as_ref().expect("is there until the end")
    }
}

impl<M: Manager> DerefMut for Open<M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        self.0.as_mut().expect("is there until the end")
    }
}

impl<M: Manager> Drop for Open<M> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// A transaction in the hands of a handler; it comes back when the handler drops it.
pub(crate) struct Lent<M: Manager> {
    open: Option<Open<M>>,
    pub(crate) lender: Arc<Lender<M>>,
}

/// Where a handler's transaction comes back to, to be committed or rolled back.
pub(crate) struct Lender<M: Manager> {
    back: Mutex<Option<Open<M>>>,
    /// Whether the handler has written to the outbox.
    pub(crate) has_sent: AtomicBool,
    /// The trace that the message belongs to, for what is sent on.
    pub(crate) traceparent: Option<String>,
}

impl<M: Manager> Lent<M> {
    pub(crate) fn new(open: Open<M>, traceparent: Option<String>) -> Self {
        let lender = Lender { back: Mutex::new(None), has_sent: AtomicBool::new(false), traceparent };
        Self { open: Some(open), lender: Arc::new(lender) }
    }
}

impl<M: Manager> Lender<M> {
    /// Takes the transaction back, behind the handler's end.
    pub(crate) fn take_back(&self) -> Result<Open<M>, Failure> {
        let open = self.back.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.ok_or_else(|| Failure::retry("the handler has ended, and something still uses its transaction"))
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }
}

impl<M: Manager> Deref for Lent<M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        self.open.as_ref().expect("is there until the drop")
    }
}

impl<M: Manager> DerefMut for Lent<M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        self.open.as_mut().expect("is there until the drop")
    }
}

impl<M: Manager> Drop for Lent<M> {
    fn drop(&mut self) {
        *self.lender.back.lock().unwrap_or_else(PoisonError::into_inner) = self.open.take();
    }
}

impl<M: Manager> fmt::Debug for Lent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("has_sent", &self.lender.has_sent()).finish_non_exhaustive()
    }
}
