mod assembly;
mod launch;

use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use onward_worker::{Failure, FailureKind};

use crate::handler::command::OwnCommand;
use crate::handler::job::Job;
use crate::handler::state::AnyState;
use crate::handler::work::{Consumer, Setup, SetupError, SetupFn, Work};
use crate::inbox::Retention;
use crate::queue::Queue;
use crate::scripts::Scripts;

pub(crate) use self::assembly::Assembly;

/// An app: embedded scripts, a state, queues and their handlers.
///
/// ```no_run
/// use std::process::ExitCode;
/// use onward::{App, Failure, Json, Queue, Scripts};
///
/// const TEXTS: Queue<String> = Queue::new("texts");
///
/// async fn print(Json(text): Json<String>) -> Result<(), Failure> {
///     println!("{text}");
///     Ok(())
/// }
///
/// // In a project of your own: `App::new(onward::scripts!(), …)` in `main`.
/// fn run(scripts: Scripts) -> ExitCode {
///     App::new(scripts, |_| async { Ok(()) })
///         .queue(TEXTS.handler(print).concurrency(4))
///         .example(r#""hello""#)
///         .run()
/// }
/// ```
pub struct App<S> {
    assembly: Assembly,
    state: PhantomData<fn(S) -> S>,
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// Makes an app from the embedded scripts; `setup` runs once, after the schema has passed the gate.
    pub fn new<F, Fut>(scripts: Scripts, setup: F) -> Self
    where
        F: FnOnce(Setup) -> Fut + Send + 'static,
        Fut: Future<Output = Result<S, SetupError>> + Send + 'static,
    {
        let setup: SetupFn = Box::new(move |given| {
            let made = setup(given);
            Box::pin(async { made.await.map(AnyState::new) })
        });
        let assembly = Assembly { scripts, commands: Vec::new(), work: Work::new(setup) };
        Self { assembly, state: PhantomData }
    }

    /// Adds a queue with the handler of its messages: [`Queue::handler`](crate::Queue::handler).
    #[must_use]
    pub fn queue(mut self, consumer: Consumer<S>) -> Self {
        self.assembly.work.queues.push(consumer.work);
        self
    }

    /// Declares a queue to which the app sends and which another app works. To send to a queue that is neither declared nor worked is an
    /// error: a misspelt name fails in the handler's test, and not in production.
    ///
    /// `QUEUE_URL_NAME` is its address, as for [`Queue::handler`](crate::Queue::handler). Without that variable it is the queue of this name
    /// in the account and region of the app's first one, and `serve` does not start if there is none. In development it is a private queue,
    /// whose messages stay there.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, PgTx, Queue, Scripts};
    /// const ORDERS: Queue<i64> = Queue::new("orders");
    /// const AUDITS: Queue<String> = Queue::new("audits");
    ///
    /// async fn take_order(tx: PgTx, Json(order): Json<i64>) -> Result<(), Failure> {
    ///     tx.send(&AUDITS, &format!("order {order}")).await
    /// }
    ///
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |_| async { Ok(()) }).queue(ORDERS.handler(take_order)).sends_to(AUDITS).outbox().run()
    /// # }
    /// ```
    #[must_use]
    pub fn sends_to<T>(mut self, queue: Queue<T>) -> Self {
        self.assembly.work.sends_to.push(queue.name());
        self
    }

    /// Publishes the messages that handlers send with `PgTx::send` and `MssqlTx::send`; needs the table `outbox`, see
    /// `docs/inbox.md`.
    #[must_use]
    pub fn outbox(mut self) -> Self {
        self.assembly.work.has_outbox = true;
        self
    }

    /// Has `serve` delete the rows of the inbox that are older than this, a thousand at a time, on one process of the app at a time, with
    /// pauses between. Without it they stay. The variable `INBOX_RETENTION` overrides it. It needs an index that begins with `handled_at`,
    /// see `docs/inbox.md`.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, PgTx, Queue, Scripts};
    /// use onward::Retention;
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn save(tx: PgTx, Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |_| async { Ok(()) }).queue(TEXTS.handler(save)).inbox(Retention::days(43)).run()
    /// # }
    /// ```
    #[must_use]
    pub fn inbox(mut self, retention: Retention) -> Self {
        self.assembly.work.options.inbox_retention = retention.duration();
        self
    }

    /// The most connections to the database that the app's pool opens; without it one for each handler and up to 16 more. With fewer than
    /// that a handler may wait for one, for ten seconds at the most. The variable `DATABASE_CONNECTIONS` overrides it.
    #[must_use]
    pub fn database_connections(mut self, most: usize) -> Self {
        self.assembly.work.options.connections = most;
        self
    }

    /// How long the server lets a statement on a connection of the pool take; without it there is no limit. PostgreSQL only: SQL Server has
    /// no such limit, and the app does not start there. The variable `STATEMENT_TIMEOUT` overrides it.
    /// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT>
    ///
    /// A handler that has timed out leaves its statement to the server, which goes on with it; a limit a little longer than the
    /// handler's ends it there, too.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.assembly.work.options.statement_timeout = limit;
        self
    }

    /// Decides what becomes of a message whose handler has passed an error on with `?`. `None` leaves it to the default: a
    /// message whose values the database can never take is rejected (SQLSTATE class 22, 23502 and 54000, and the same of SQL Server), any
    /// other is tried again. What a handler has decided itself, as with [`Failure::retry`], stays.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, Queue, Scripts};
    /// use onward::FailureKind;
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn print(Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |_| async { Ok(()) })
    ///     .queue(TEXTS.handler(print))
    ///     .classify(|failure| failure.error().is::<std::num::ParseIntError>().then_some(FailureKind::Reject))
    ///     .run()
    /// # }
    /// ```
    #[must_use]
    pub fn classify(
        mut self,
        classify: impl Fn(&Failure) -> Option<FailureKind> + Send + Sync + 'static,
    ) -> Self {
        self.assembly.work.classify = Some(Arc::new(classify));
        self
    }

    /// Serves routes of the app's own on `HTTP_ADDR`, beside `/livez`, `/readyz` and `/metrics`, which stay Onward's. They get the state
    /// that the set-up has made. Requests that are under way when the app stops have five seconds to end.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, Queue, Scripts};
    /// use onward::axum::{Router, routing::get};
    ///
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn print(Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |_| async { Ok("hello") })
    ///     .queue(TEXTS.handler(print))
    ///     .routes(|greeting| Router::new().route("/", get(move || async move { greeting })))
    ///     .run()
    /// # }
    /// ```
    #[must_use]
    pub fn routes(mut self, routes: impl FnOnce(S) -> axum::Router + Send + 'static) -> Self {
        self.assembly.work.routes = Some(Box::new(|state| routes(state.get())));
        self
    }

    /// Runs a job at certain times, once in all processes of the app together; needs the table `schedule`, see `docs/schedule.md`.
    ///
    /// The times are a cron expression, `MINUTE HOUR DAY MONTH WEEKDAY`, with a time zone behind it if it is not UTC. One process
    /// claims each due time. If it dies, another one runs the job a minute later, so a job may run twice and must be idempotent. A due
    /// time that passed while no process ran is made up for, the last one only. A failure is tried again after a pause, ten times at
    /// the most; a job that rejects is not.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, PgPool, Queue, Scripts, Setup};
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn print(Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// async fn forget(pool: PgPool) -> Result<(), Failure> {
    ///     let old = "DELETE FROM texts WHERE printed_at < now() - interval '1 year'";
    ///     pool.get().await?.execute(old, &[]).await?;
    ///     Ok(())
    /// }
    ///
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |Setup { database, .. }| async move { Ok(database.postgres()?) })
    ///     .queue(TEXTS.handler(print))
    ///     .every("forget", "0 3 * * * Europe/Berlin", forget)
    ///     .run()
    /// # }
    /// ```
    #[must_use]
    pub fn every<F, Fut>(mut self, name: &'static str, times: &'static str, job: F) -> Self
    where
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.assembly.work.jobs.push(Job {
            name,
            times,
            work: Arc::new(move |state| Box::pin(job(state.get()))),
        });
        self
    }

    /// Runs something after the last message, with the state that the set-up has made: it closes what the app has opened elsewhere. It has ten
    /// seconds. What runs before the first message is the set-up itself.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, Queue, Scripts};
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn print(Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |_| async { Ok("cache") })
    ///     .queue(TEXTS.handler(print))
    ///     .on_stop(|cache| async move { tracing::info!(cache, "closed") })
    ///     .run()
    /// # }
    /// ```
    #[must_use]
    pub fn on_stop<F, Fut>(mut self, stop: F) -> Self
    where
        F: FnOnce(S) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.assembly.work.on_stop = Some(Box::new(|state| Box::pin(stop(state.get()))));
        self
    }

    /// Adds a command of the app's own to its command line, beside `serve`, `migrate` and the others. It starts only on the right schema,
    /// and runs with the state that the set-up has made; the workers do not run. Its arguments are a type that derives
    /// [`clap::Args`], or `()`.
    ///
    /// The process exits with 0 after `Ok`, and with 1 after an error, which it shows with its causes. A request to stop ends the command
    /// where it waits, with exit code 130: what it had committed stays. In development it upgrades the private database, as `serve` does,
    /// and sends to the queues of a launch that runs in another terminal.
    ///
    /// ```no_run
    /// # use onward::{App, Failure, Json, PgPool, Queue, Scripts, Setup};
    /// use onward::clap::{self, Args};
    ///
    /// # const TEXTS: Queue<String> = Queue::new("texts");
    /// # async fn print(Json(text): Json<String>) -> Result<(), Failure> { Ok(()) }
    /// #[derive(Args)]
    /// struct Import {
    ///     /// A file with one customer in each line
    ///     file: std::path::PathBuf,
    /// }
    ///
    /// # fn run(scripts: Scripts) -> std::process::ExitCode {
    /// App::new(scripts, |Setup { database, .. }| async move { Ok(database.postgres()?) })
    ///     .queue(TEXTS.handler(print))
    ///     .command("import", "Import customers from a file", |pool: PgPool, Import { file }| async move {
    ///         let connection = pool.get().await?;
    ///         for line in std::fs::read_to_string(&file)?.lines() {
    ///             connection.execute("INSERT INTO customers (name) VALUES ($1)", &[&line]).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .run()
    /// # }
    /// ```
    #[must_use]
    pub fn command<A, F, Fut>(mut self, name: &'static str, about: &'static str, run: F) -> Self
    where
        A: clap::Args + Send + 'static,
        F: FnOnce(S, A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), SetupError>> + Send + 'static,
    {
        self.assembly.commands.push(OwnCommand::new(name, about, |state, given| run(state.get(), given)));
        self
    }

    /// Sets the body of a first message. The banner of a development launch shows the command that sends it.
    #[must_use]
    pub fn example(mut self, body: &'static str) -> Self {
        self.assembly.work.example = Some(body);
        self
    }

    /// Runs the command line and returns its exit code. `main` needs nothing else.
    #[must_use]
    pub fn run(self) -> ExitCode {
        self.assembly.run()
    }

    #[cfg(feature = "local")]
    pub(crate) fn into_assembly(self) -> Assembly {
        self.assembly
    }
}
