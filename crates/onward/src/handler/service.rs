use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use onward_worker::{Failure, Message};
use tower::util::{BoxCloneSyncService, ServiceExt as _};
use tower::{BoxError, Service};

/// What a layer by key reads from a message; a message without a key passes.
pub(crate) type KeyFn = dyn Fn(&Message) -> Option<String> + Send + Sync;

/// A handler as a tower service, for [`Consumer::layer`](crate::Consumer::layer).
#[derive(Clone)]
pub struct MessageService(BoxCloneSyncService<Message, (), BoxError>);

/// A handler's [`Failure`] while it passes through layers, which know only errors.
///
/// ```
/// use onward::{Failure, HandlerError};
///
/// let error = HandlerError(Failure::retry("busy"));
/// assert_eq!(error.to_string(), "busy");
/// ```
#[derive(Debug, Clone)]
pub struct HandlerError(pub Failure);

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.reason)
    }
}

impl std::error::Error for HandlerError {}

impl MessageService {
    pub(crate) fn new<S>(service: S) -> Self
    where
        S: Service<Message, Response = ()> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    /// Handles one message. After an error of a layer itself, the queue delivers the message again later.
    pub(crate) async fn handle(self, message: Message) -> Result<(), Failure> {
        let outcome = self.0.oneshot(message).await;
        outcome.map_err(|error| match error.downcast::<HandlerError>() {
            Ok(failed) => failed.0,
            Err(error) => Failure::retry(error),
        })
    }
}

impl Service<Message> for MessageService {
    type Response = ();
    type Error = BoxError;
    type Future = Boxed;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, message: Message) -> Boxed {
        self.0.call(message)
    }
}

impl fmt::Debug for MessageService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageService")
    }
}

/// The boxed future of a tower service.
pub(super) type Boxed = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
