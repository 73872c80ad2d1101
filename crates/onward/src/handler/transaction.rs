use futures_util::future::BoxFuture;
use onward_worker::Failure;
use tokio::sync::Notify;

/// A transaction that a handler was given, to be ended by what becomes of the message. Each database implements it.
pub(crate) trait HandlerTransaction: Send {
    /// Commits after a success and rolls back after a failure. A failure to commit becomes the handler's. Wakes who
    /// publishes the outbox where the handler has sent something.
    fn end(
        self: Box<Self>,
        outcome: Result<(), Failure>,
        wake: &Notify,
    ) -> BoxFuture<'_, Result<(), Failure>>;
}
