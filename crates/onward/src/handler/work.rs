use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use onward_worker::{Budget, Failure, Message, Options};
use tower::{BoxError, Layer, Service};

use crate::config::queues::Names;
use crate::database::Database;
use crate::handler::batch::{Batch, Batches};
use crate::handler::breaker::{BreakerByKey, PausedKeys};
use crate::handler::errors::{Classify, judged};
use crate::handler::extract::{Body, Delivery, FromMessage, Stop};
use crate::handler::job::Job;
use crate::handler::service::{HandlerError, MessageService};
use crate::handler::state::AnyState;
use crate::handler::{Handler, Takes};
use crate::options::{AllOrigins, AppOptions};
use crate::queue::Queue;
use crate::queue::producer::Producer;

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
    pub(crate) producer: Producer,
}

impl Setup {
    /// Sends messages outside a transaction, to the queues that the app works or declares.
    #[must_use]
    pub fn producer(&self) -> Producer {
        self.producer.clone()
    }
}

pub(crate) type RoutesFn = Box<dyn FnOnce(AnyState) -> axum::Router + Send>;
pub(crate) type SetupError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(crate) type SetupFn = Box<dyn FnOnce(Setup) -> Boxed<Result<AnyState, SetupError>> + Send>;
pub(crate) type StopFn = Box<dyn FnOnce(AnyState) -> Boxed<()> + Send>;
type BoxedHandler = Arc<dyn Fn(Message, AnyState, Database) -> Boxed<Result<(), Failure>> + Send + Sync>;
type BoxedLayer = Box<dyn FnOnce(MessageService) -> MessageService + Send>;

/// What an app brings to its workers.
pub(crate) struct Work {
    pub queues: Vec<QueueWork>,
    /// The queues to which it declares that it sends.
    pub sends_to: Vec<&'static str>,
    pub setup: SetupFn,
    pub has_outbox: bool,
    pub options: AppOptions,
    pub classify: Option<Arc<Classify>>,
    /// The app's own routes, beside health and metrics.
    pub routes: Option<RoutesFn>,
    pub jobs: Vec<Job>,
    pub on_stop: Option<StopFn>,
    pub example: Option<&'static str>,
    /// Where its options come from, if not from the app.
    pub origins: AllOrigins,
}

impl Work {
    /// Work without queues, in which each option is the default.
    pub(crate) fn new(setup: SetupFn) -> Self {
        Self {
            queues: Vec::new(),
            sends_to: Vec::new(),
            setup,
            has_outbox: false,
            options: AppOptions::default(),
            classify: None,
            routes: None,
            jobs: Vec::new(),
            on_stop: None,
            example: None,
            origins: AllOrigins::default(),
        }
    }

    /// The names of its queues, in their order, and of those to which it sends and which it does not work.
    pub(crate) fn names(&self) -> Names {
        let worked: Vec<_> = self.queues.iter().map(|queue| queue.name).collect();
        let mut known: HashSet<_> = worked.iter().copied().collect();
        let sent_to = self.sends_to.iter().copied().filter(|name| known.insert(name)).collect();
        Names { worked, sent_to }
    }
}

/// A queue, the handler of its messages, and how the app works it: [`Queue::handler`].
///
/// ```
/// use std::time::Duration;
/// use onward::{Consumer, Failure, Json, LimitByKey, Queue};
///
/// const ORDERS: Queue<i64> = Queue::new("orders");
///
/// async fn take_order(Json(order): Json<i64>) -> Result<(), Failure> {
///     println!("order {order}");
///     Ok(())
/// }
///
/// fn orders() -> Consumer<()> {
///     ORDERS.handler(take_order).concurrency(64).handler_timeout(Duration::from_secs(30))
/// }
/// ```
#[must_use = "an app works it only after `App::queue`"]
pub struct Consumer<S> {
    pub(crate) work: QueueWork,
    state: PhantomData<fn(S) -> S>,
}

/// A [`Consumer`] without the type of the state.
pub(crate) struct QueueWork {
    pub name: &'static str,
    handler: BoxedHandler,
    /// Around the handler, from the inside out.
    layers: Vec<BoxedLayer>,
    /// Of each breaker among the layers.
    pub paused: Vec<PausedKeys>,
    pub options: Options,
}

impl<T> Queue<T> {
    /// Has the messages of the queue handled. The handler's last argument is the body: [`Json<T>`](crate::Json), an envelope of it, or
    /// one that takes any body.
    ///
    /// `QUEUE_URL` is the address of the app's first queue. `QUEUE_URL_NAME` is that of each further one: its name in capitals, with
    /// `_` for every character that is not a letter or a digit. In development the private queue has this name. Each queue has its
    /// own concurrency and its own polls.
    pub fn handler<S, A>(self, handler: impl Handler<S, A>) -> Consumer<S>
    where
        S: Clone + Send + Sync + 'static,
        A: Takes<T> + 'static,
    {
        let name = self.name();
        let boxed: BoxedHandler = Arc::new(move |message, state, database| {
            let handler = handler.clone();
            Box::pin(async move { handler.call(name, message, state.get(), database).await })
        });
        Consumer::new(name, boxed)
    }

    /// Has the messages of the queue handled several at once: for an effect that is cheaper for many, as a bulk insert or an index of a
    /// search. The handler gets the app's state and the bodies, and returns an outcome for each, in their order.
    ///
    /// A message waits for its batch in a handler's place, so the concurrency is twice the size of a batch, and must not be set below that
    /// size. A body that does not decode never gets into a batch. A message that has failed before is handled alone: one that makes the
    /// handler panic, or lets it run out of time, costs the others of its batch one attempt. There is no transaction among the arguments: a
    /// batch commits what it writes by itself, and must be idempotent, because a message may come twice.
    ///
    /// ```
    /// use std::time::Duration;
    /// use onward::{Batch, Consumer, Failure, Json, PgPool, Queue};
    ///
    /// const READINGS: Queue<i64> = Queue::new("readings");
    ///
    /// async fn store(pool: PgPool, readings: Vec<Json<i64>>) -> Vec<Result<(), Failure>> {
    ///     let values: Vec<i64> = readings.iter().map(|Json(reading)| *reading).collect();
    ///     let stored: Result<u64, Failure> = async {
    ///         let insert = "INSERT INTO readings SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING";
    ///         Ok(pool.get().await?.execute(insert, &[&values]).await?)
    ///     }
    ///     .await;
    ///     values.iter().map(|_| stored.clone().map(|_| ())).collect()
    /// }
    ///
    /// fn readings() -> Consumer<PgPool> {
    ///     READINGS.batch_handler(Batch::of(100).within(Duration::from_millis(200)), store)
    /// }
    /// ```
    pub fn batch_handler<S, B, F, Fut>(self, batch: Batch, handler: F) -> Consumer<S>
    where
        S: Clone + Send + Sync + 'static,
        B: FromMessage<S> + Body<T> + 'static,
        F: Fn(S, Vec<B>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<Result<(), Failure>>> + Send + 'static,
    {
        let (name, batches) = (self.name(), Batches::new(batch, handler));
        let boxed: BoxedHandler = Arc::new(move |message, state, database| {
            let (batches, state) = (batches.clone(), state.get());
            Box::pin(async move {
                let taken = B::from_message(&mut Delivery::of(&message, &state, &database, name)).await;
                match taken {
                    Ok(body) => batches.handle(state, body, message.attempt).await,
                    Err(Stop::Done) => Ok(()),
                    Err(Stop::Fail(failure)) => Err(failure),
                }
            })
        });
        Consumer::new(name, boxed).concurrency(2 * batch.most)
    }
}

impl<S: Clone + Send + Sync + 'static> Consumer<S> {
    fn new(name: &'static str, handler: BoxedHandler) -> Self {
        let (layers, paused, options) = (Vec::new(), Vec::new(), Options::default());
        Self { work: QueueWork { name, handler, layers, paused, options }, state: PhantomData }
    }

    /// Sets all options.
    pub fn options(mut self, options: Options) -> Self {
        self.work.options = options;
        self
    }

    /// How many messages are handled at once.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.work.options.concurrency = concurrency;
        self
    }

    /// How long the handler may take for one message.
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.work.options.handler_timeout = limit;
        self
    }

    /// How much a message may fail before it is given up.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.work.options.budget = budget;
        self
    }

    /// Puts a tower layer around the handler: a timeout, a limit, [`LimitByKey`]. Of several layers, the last one sees a message
    /// first.
    ///
    /// The time that a message waits in a layer counts towards the handler's timeout, and the message occupies a handler's
    /// place meanwhile. After an error of the layer itself the queue delivers the message again, as with [`Failure::retry`].
    ///
    /// [`Failure::retry`]: crate::Failure::retry
    /// [`LimitByKey`]: crate::LimitByKey
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<MessageService> + Send + 'static,
        L::Service: Service<Message, Response = ()> + Clone + Send + Sync + 'static,
        <L::Service as Service<Message>>::Error: Into<BoxError>,
        <L::Service as Service<Message>>::Future: Send + 'static,
    {
        if let Some(breaker) = (&layer as &dyn Any).downcast_ref::<BreakerByKey>() {
            self.work.paused.push(breaker.paused());
        }
        self.work.layers.push(Box::new(move |service| MessageService::new(layer.layer(service))));
        self
    }
}

impl QueueWork {
    /// The handler with its arguments, what its errors mean, and its layers.
    pub(crate) fn into_service(
        self,
        state: AnyState,
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

impl<S> fmt::Debug for Consumer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Consumer");
        shown.field("name", &self.work.name).field("options", &self.work.options).finish_non_exhaustive()
    }
}
