use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::app::{App, Assembly};
use crate::config::context::Context;
use crate::config::identity::Identity;
use crate::config::settings::{Settings, project};
use crate::outbox::Outbox;
use crate::process::exit::{CommandError, Exit};
use crate::queue::Queue;
use crate::queue::outgoing::Outgoing;
use crate::scripts::Scripts;
use crate::serve::{Place, work_at};
use crate::testing::database::TestDb;
use crate::testing::queues::{DeadLetter, TestQueues};

/// How long a test waits for the work of the app.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it looks whether all is done.
const LOOK: Duration = Duration::from_millis(20);

/// The whole app on free ports, as `serve` runs it: workers, outbox, health and metrics, on the database of a test and queues of its
/// own.
///
/// ```ignore
/// #[onward::test]
/// async fn an_order_becomes_an_invoice(db: TestDb) {
///     let app = RunningApp::start(app(), &db).await;
///     app.send(&ORDERS, &Order { number: 7 }).await;
///     app.idle().await;
///     let row = db.pool().get().await?.query_one("SELECT count(*) FROM invoices", &[]).await?;
///     assert_eq!(row.get::<_, i64>(0), 1);
///     app.stop().await;
/// }
/// ```
#[must_use = "the app ends when this is dropped"]
pub struct RunningApp {
    http: Option<SocketAddr>,
    private: TestQueues,
    outbox: Option<Outbox>,
    /// Stops the app when it is dropped.
    stop: DropGuard,
    serving: JoinHandle<Result<Exit, CommandError>>,
}

impl RunningApp {
    /// Starts the app, and returns when it works its queues.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start<S: Clone + Send + Sync + 'static>(app: App<S>, db: &TestDb) -> Self {
        Self::try_start(app.into_assembly(), db).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn try_start(app: Assembly, db: &TestDb) -> Result<Self, CommandError> {
        let context = context(&app.scripts, db)?;
        let schema = context.history.latest();
        let work = app.into_work()?;
        let private = TestQueues::start(work.names()).await?;
        let outbox = work.has_outbox.then(|| Outbox::of(db.database()));
        let queues = private.resolved();
        let (stop, url) = (CancellationToken::new(), db.parsed().clone());
        let (starts, started) = oneshot::channel();
        let stopping = stop.clone();
        let mut serving = tokio::spawn(async move {
            let place = Place { url: &url, schema, queues: &queues, log: None, pages: None };
            work_at(&context, work, place, stopping, Some(starts)).await
        });
        let http = tokio::select! {
            Ok(http) = started => http,
            ended = &mut serving => {
                ended.map_err(CommandError::fault)??;
                return Err(CommandError::fault("the app ended before it worked its queues"));
            }
        };
        Ok(Self { http, private, outbox, stop: stop.drop_guard(), serving })
    }

    /// Where it answers `/livez`, `/readyz` and `/metrics`.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http.expect("the app serves health and metrics")
    }

    /// The URL of one of its queues, which speaks the protocol of SQS.
    ///
    /// # Panics
    ///
    /// If the app does not work the queue.
    #[must_use]
    pub fn queue_url<T>(&self, queue: &Queue<T>) -> &str {
        self.private.url(queue.name())
    }

    /// Sends a message, and returns its identity.
    ///
    /// # Panics
    ///
    /// If it is not sent.
    pub async fn send<'a, T: Serialize + 'a>(
        &self,
        queue: &Queue<T>,
        message: impl Into<Outgoing<'a, T>>,
    ) -> String {
        let producer = self.private.producer();
        producer.send(queue, message).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the queues and the outbox are empty: every message is done or a dead letter, or a row of the outbox that can never be sent.
    ///
    /// # Panics
    ///
    /// With what is left, after a minute.
    pub async fn idle(&self) {
        let mut looks = tokio::time::interval(LOOK);
        let mut left = String::new();
        // A message may be on its way from one that was not looked at yet to one that was, so nothing must be left twice in a row.
        let empty = async {
            let mut empty_looks = 0;
            while empty_looks < 2 {
                looks.tick().await;
                left = self.left().await;
                empty_looks = if left.is_empty() { empty_looks + 1 } else { 0 };
            }
        };
        if tokio::time::timeout(PATIENCE, empty).await.is_err() {
            panic!("after {PATIENCE:?} there is still work: {left}");
        }
    }

    async fn left(&self) -> String {
        let mut left = Vec::new();
        // The outbox comes first: what leaves it is in a queue by then.
        if let Some(outbox) = &self.outbox {
            match outbox.rows().await {
                Ok(rows) if rows.waiting == 0 => {}
                Ok(rows) => left.push(format!("{} in the outbox", rows.waiting)),
                Err(error) => left.push(format!("the outbox cannot be read: {error}")),
            }
        }
        match self.private.waiting().await {
            Ok(waiting) => {
                left.extend(waiting.into_iter().map(|(name, messages)| format!("{messages} in {name}")));
            }
            Err(error) => left.push(format!("the queues cannot be asked: {error}")),
        }
        left.join(", ")
    }

    /// The bodies in a queue that the app only sends to, which it takes out of the queue.
    ///
    /// # Panics
    ///
    /// If the app works the queue itself, does not send to it, or a body does not decode.
    pub async fn sent_to<T: DeserializeOwned>(&self, queue: &Queue<T>) -> Vec<T> {
        self.private.sent_to(queue).await
    }

    /// The dead letters of a queue, which it takes out of the dead-letter queue.
    ///
    /// # Panics
    ///
    /// If they cannot be read.
    pub async fn dead_letters<T>(&self, queue: &Queue<T>) -> Vec<DeadLetter> {
        let letters = self.private.take_dead_letters(queue.name()).await;
        letters.unwrap_or_else(|error| panic!("the dead letters of {}: {error}", queue.name()))
    }

    /// Stops it as SIGTERM does, and waits for the end.
    ///
    /// # Panics
    ///
    /// If it ends with an error.
    pub async fn stop(self) {
        // The queues answer until the end.
        let Self { stop, serving, private: _private, .. } = self;
        drop(stop);
        let ended = serving.await.expect("the app does not panic");
        match ended {
            Ok(Exit::Done) => {}
            Ok(exit) => panic!("the app ended with {exit:?}"),
            Err(error) => panic!("{error}"),
        }
    }
}

impl fmt::Debug for RunningApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningApp").field("http", &self.http).finish_non_exhaustive()
    }
}

/// The context of an app in a test: its own scripts, and nothing of the environment.
fn context(scripts: &Scripts, db: &TestDb) -> Result<Context, CommandError> {
    let settings = Settings {
        http_addr: Some("127.0.0.1:0".to_owned()),
        ..Settings::of_database(Some(db.url().to_owned()), project())
    };
    let history = scripts.history().map_err(CommandError::fault)?;
    let identity = Identity { name: scripts.name.to_owned(), version: scripts.version.to_owned() };
    Ok(Context { settings, history, identity })
}
