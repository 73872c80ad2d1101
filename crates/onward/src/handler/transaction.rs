use futures_util::future::BoxFuture;
use onward_worker::Failure;
use tokio::sync::Notify;

/// The transaction of a handler. The outcome of the message ends it. Each database implements it.
pub(crate) trait HandlerTransaction: Send {
    /// Commits after a success and rolls back after a failure. A failed commit becomes the handler's failure. If the handler
    /// has sent a message, wakes the relay of the outbox.
    fn end(
        self: Box<Self>,
        outcome: Result<(), Failure>,
        wake: &Notify,
    ) -> BoxFuture<'_, Result<(), Failure>>;
}
