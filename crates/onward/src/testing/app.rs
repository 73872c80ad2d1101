use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use onward_worker::{Failure, Message, Options, handle_once};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::app::{App, Assembly};
use crate::database::Database;
use crate::handler::service::MessageService;
use crate::handler::work::{Setup, Work};
use crate::outbox::{Outbox, Written};
use crate::process::exit::CommandError;
use crate::queue::Queue;
use crate::testing::database::TestDb;
use crate::testing::queues::{TestQueues, decoded};
use crate::transaction::is_recorded;

/// An app whose handlers a test calls, one message at a time, with all that stands around them: arguments, transaction, inbox,
/// outbox, layers and the handler's timeout.
///
/// ```ignore
/// #[onward::test]
/// async fn an_order_is_taken_once(db: TestDb) {
///     let app = TestApp::new(app(), &db).await;
///     let message = TestApp::message(&Order { number: 7 });
///     let handled = app.handle_message(&ORDERS, message.clone()).await;
///     assert_eq!(handled.outcome, Ok(()));
///     assert_eq!(handled.sent_to(&INVOICES), [Order { number: 7 }]);
///
///     let again = app.handle_message(&ORDERS, message).await;
///     assert!(again.was_done);
/// }
/// ```
pub struct TestApp {
    queues: HashMap<&'static str, (MessageService, Options)>,
    database: Database,
    outbox: Option<Outbox>,
    private: TestQueues,
}

impl TestApp {
    /// Runs the app's set-up on the database of the test. What it sends outside a transaction goes to queues of the test's own.
    ///
    /// # Panics
    ///
    /// If the set-up fails, or the app has no queue.
    pub async fn new<S: Clone + Send + Sync + 'static>(app: App<S>, db: &TestDb) -> Self {
        Self::try_new(app.into_assembly(), db).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_new(app: Assembly, db: &TestDb) -> Result<Self, CommandError> {
        let work = app.into_work()?;
        let private = TestQueues::start(work.names()).await?;
        let Work { queues, setup, has_outbox, classify, .. } = work;
        let database = db.database().clone().sending_to(private.destinations());
        let given = Setup {
            database: database.clone(),
            echo_url: Some(private.echo_url()),
            producer: private.producer(),
        };
        let state = setup(given).await.map_err(CommandError::of_setup)?;
        let queues = queues.into_iter().map(|queue| {
            let (name, options) = (queue.name, queue.options.clone());
            (name, (queue.into_service(state.clone(), database.clone(), classify.clone()), options))
        });
        let outbox = has_outbox.then(|| Outbox::of(&database));
        Ok(Self { queues: queues.collect(), database, outbox, private })
    }

    /// Gives the handlers of a queue another limit, so that a test of what happens after it need not wait for the app's own.
    ///
    /// ```ignore
    /// let app = TestApp::new(app(), &db).await.with_handler_timeout(&ORDERS, Duration::from_millis(50));
    /// ```
    ///
    /// # Panics
    ///
    /// If the app does not work the queue.
    #[must_use]
    pub fn with_handler_timeout<T>(mut self, queue: &Queue<T>, limit: Duration) -> Self {
        let name = queue.name();
        let worked = self.queues.get_mut(name);
        worked.unwrap_or_else(|| panic!("the app works no queue {name}: `App::queue`")).1.handler_timeout =
            limit;
        self
    }

    /// A message with this body, of an id of its own, as SQS delivers it the first time.
    ///
    /// # Panics
    ///
    /// If the body cannot be encoded as JSON.
    #[must_use]
    pub fn message(body: &impl Serialize) -> Message {
        Message {
            id: Uuid::now_v7().to_string(),
            body: serde_json::to_string(body).expect("the body can be encoded as JSON"),
            receive_count: 1,
            attempt: 1,
            ..Message::default()
        }
    }

    /// Has a message with this body handled once.
    ///
    /// # Panics
    ///
    /// As [`TestApp::handle_message`].
    pub async fn handle<T: Serialize>(&self, queue: &Queue<T>, body: &T) -> Handled {
        self.handle_message(queue, Self::message(body)).await
    }

    /// Has a message handled once. The same message again is a second delivery of it.
    ///
    /// # Panics
    ///
    /// If the app does not work the queue, or inbox and outbox cannot be read.
    pub async fn handle_message<T>(&self, queue: &Queue<T>, message: Message) -> Handled {
        self.handle_until(queue, message, std::future::pending()).await
    }

    /// As [`TestApp::handle_message`], unless `stop` completes before the handler has ended. Then the handler is abandoned in the middle of
    /// its work, as by a worker whose grace has ended; a crash of the process leaves the same behind. The outcome is then a failure with
    /// the reason `abandoned`.
    ///
    /// ```ignore
    /// let begun = Arc::new(Notify::new());
    /// let app = TestApp::new(app(begun.clone()), &db).await;
    /// let message = TestApp::message(&Order { number: 7 });
    /// let handled = app.handle_until(&ORDERS, message.clone(), begun.notified()).await;
    /// assert!(handled.outcome.is_err() && !handled.is_recorded);
    /// assert_eq!(app.handle_message(&ORDERS, message).await.outcome, Ok(()));
    /// ```
    ///
    /// # Panics
    ///
    /// As [`TestApp::handle_message`].
    pub async fn handle_until<T>(
        &self,
        queue: &Queue<T>,
        message: Message,
        stop: impl Future<Output = ()>,
    ) -> Handled {
        let name = queue.name();
        let (service, options) =
            self.queues.get(name).unwrap_or_else(|| panic!("the app works no queue {name}: `App::queue`"));
        let identity = message.identity().to_owned();
        let was_done = self.is_recorded(name, &identity).await;
        let (last, _) = self.written_after(0).await;
        let handler = {
            let service = service.clone();
            move |message: Message| service.clone().handle(message)
        };
        let outcome = tokio::select! {
            biased;
            outcome = handle_once(&handler, message, options.handler_timeout) => outcome,
            () = stop => Err(Failure::retry("abandoned")),
        };
        let (_, sent) = self.written_after(last).await;
        let sent = sent.into_iter().map(|Written { queue, group, body }| SentMessage { queue, group, body });
        let is_recorded = self.is_recorded(name, &identity).await;
        Handled { outcome, was_done, is_recorded, sent: sent.collect() }
    }

    async fn is_recorded(&self, queue: &str, id: &str) -> bool {
        is_recorded(&self.database, queue, id).await.unwrap_or_else(|error| panic!("the inbox: {error}"))
    }

    async fn written_after(&self, id: i64) -> (i64, Vec<Written>) {
        match &self.outbox {
            Some(outbox) => outbox.after(id).await.unwrap_or_else(|error| panic!("the outbox: {error}")),
            None => (id, Vec::new()),
        }
    }

    /// The bodies that the app has sent outside a transaction to a queue, and takes them out of it.
    ///
    /// # Panics
    ///
    /// If the app neither works the queue nor sends to it, or a body does not decode.
    pub async fn produced<T: DeserializeOwned>(&self, queue: &Queue<T>) -> Vec<T> {
        self.private.take_bodies(queue).await
    }
}

impl fmt::Debug for TestApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestApp").field("queues", &self.queues.keys()).finish_non_exhaustive()
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handled {
    /// What the handler has returned. A panic and a timeout are failures.
    pub outcome: Result<(), Failure>,
    /// Whether the inbox knew the message already. Then the handler did not run.
    pub was_done: bool,
    /// Whether the inbox knows the message now.
    pub is_recorded: bool,
    /// What the handler has sent in its transaction: the rows in the table `outbox`.
    pub sent: Vec<SentMessage>,
}

/// A message that a handler has sent in its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentMessage {
    /// The queue's name.
    pub queue: String,
    /// The group.
    pub group: Option<String>,
    /// The body, JSON.
    pub body: String,
}

impl Handled {
    /// The bodies that were sent to a queue.
    ///
    /// # Panics
    ///
    /// If one does not decode.
    #[must_use]
    pub fn sent_to<T: DeserializeOwned>(&self, queue: &Queue<T>) -> Vec<T> {
        let to_queue = self.sent.iter().filter(|sent| sent.queue == queue.name());
        to_queue.map(|sent| decoded(queue, &sent.body)).collect()
    }
}
