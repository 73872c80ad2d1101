use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::{Manager, Object};
use onward_worker::Failure;

use crate::database::errors::causes;
use crate::database::{PgPool, connection};

/// A pooled connection with an open transaction. If the guard is dropped before the transaction has ended, it closes the
/// connection instead of giving it back to the pool, and the server rolls back.
pub(crate) struct TransactionGuard<M: Manager>(Option<Object<M>>);

impl<M: Manager> TransactionGuard<M> {
    /// Guards a connection. The caller begins the transaction after this, so that none is open without a guard.
    pub(crate) fn new(connection: Object<M>) -> Self {
        Self(Some(connection))
    }

    /// The transaction has ended, so the connection goes back to the pool.
    pub(crate) fn ended(mut self) {
        self.0 = None;
    }

    /// Returns the outcome of the work, after the commit or the rollback has ended with `ended`.
    pub(crate) fn settled<E: std::error::Error + Send + Sync + 'static>(
        self,
        ended: Result<(), E>,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        match ended {
            Ok(()) => self.ended(),
            Err(error) if outcome.is_ok() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "the connection ended before the rollback; the server rolls back")
            }
        }
        outcome
    }
}

impl TransactionGuard<deadpool_postgres::Manager> {
    /// A transaction on PostgreSQL of statements that the server ends, too, when their caller waits for them no longer. It does not notice a
    /// closed connection as long as a statement waits for a lock.
    pub(crate) async fn limited(pool: &PgPool, limit: Duration) -> Result<Self, String> {
        let guard = Self::new(connection(pool).await.map_err(|error| causes(&error))?);
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", limit.as_millis());
        guard.batch_execute(&begin).await.map_err(|error| causes(&error))?;
        Ok(guard)
    }

    /// Commits it.
    pub(crate) async fn commit(self) -> Result<(), String> {
        self.batch_execute("COMMIT").await.map_err(|error| causes(&error))?;
        self.ended();
        Ok(())
    }
}

impl<M: Manager> Deref for TransactionGuard<M> {
    type Target = M::Type;

    fn deref(&self) -> &M::Type {
        self.0.as_ref().expect("the connection is there until the end")
    }
}

impl<M: Manager> DerefMut for TransactionGuard<M> {
    fn deref_mut(&mut self) -> &mut M::Type {
        self.0.as_mut().expect("the connection is there until the end")
    }
}

impl<M: Manager> Drop for TransactionGuard<M> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
