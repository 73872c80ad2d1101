use std::pin::Pin;
use std::sync::Arc;

use onward_worker::{Failure, Message, Options};

use crate::database::Database;
use crate::handler::errors::{Classify, judged};
use crate::handler::service::{HandlerError, MessageService};

/// What an app's set-up gets, to build the app's state from it.
///
/// ```
/// use onward::{PgPool, Setup};
///
/// #[derive(Clone)]
/// struct Shop {
///     pool: PgPool,
/// }
///
/// async fn setup(Setup { database, .. }: Setup) -> Result<Shop, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(Shop { pool: database.postgres()? })
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Setup {
    /// The database, whose schema has passed the gate.
    pub database: Database,
    /// In development without a `QUEUE_URL`: a stub that answers like an external HTTP service.
    pub echo_url: Option<String>,
}

pub(crate) type SetupError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(crate) type SetupFn<S> = Box<dyn FnOnce(Setup) -> Boxed<Result<S, SetupError>> + Send>;
pub(crate) type BoxedHandler<S> =
    Arc<dyn Fn(Message, S, Database) -> Boxed<Result<(), Failure>> + Send + Sync>;
pub(crate) type BoxedLayer = Box<dyn FnOnce(MessageService) -> MessageService + Send>;

/// What an app brings to its workers.
pub(crate) struct Work<S> {
    pub queues: Vec<WorkedQueue<S>>,
    pub setup: SetupFn<S>,
    pub has_outbox: bool,
    pub classify: Option<Arc<Classify>>,
    pub example: Option<&'static str>,
}

/// One queue, its handler, and how the app works it.
pub(crate) struct WorkedQueue<S> {
    pub name: &'static str,
    pub handler: BoxedHandler<S>,
    /// Around the handler, from the inside out.
    pub layers: Vec<BoxedLayer>,
    pub options: Options,
}

impl<S: Clone + Send + Sync + 'static> WorkedQueue<S> {
    /// The handler with its arguments, what its errors mean, and its layers.
    pub(crate) fn into_service(
        self,
        state: S,
        database: Database,
        classify: Option<Arc<Classify>>,
    ) -> MessageService {
        let Self { handler, layers, .. } = self;
        let handler = tower::service_fn(move |message: Message| {
            let (outcome, classify) = (handler(message, state.clone(), database.clone()), classify.clone());
            async move { outcome.await.map_err(|failure| HandlerError(judged(failure, classify.as_deref()))) }
        });
        layers.into_iter().fold(MessageService::new(handler), |inner, layer| layer(inner))
    }
}
