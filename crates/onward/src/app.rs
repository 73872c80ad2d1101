use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches as _};
use onward_worker::{Failure, FailureKind};

use crate::checks::Whole;
use crate::cli::{self, Cli, Command, Globals};
use crate::config::context::Context;
use crate::config::identity::Identity;
use crate::config::queues::variable_suffix;
use crate::config::settings::{AppEnv, Environment, Settings, load_environment, variable};
use crate::handler::command::OwnCommand;
use crate::handler::errors::Classify;
use crate::handler::job::Job;
use crate::handler::work::{Consumer, RoutesFn, Setup, SetupError, SetupFn, StopFn, Work};
use crate::inbox::Retention;
use crate::options::{self, AllOrigins, AppOptions, Given, WrongValue};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, ended, said};
use crate::queue::Queue;
use crate::scripts::Scripts;
use crate::telemetry::log::{self, LogView};
use crate::{command, process, serve, service};

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
    scripts: Scripts,
    setup: SetupFn<S>,
    queues: Vec<Consumer<S>>,
    sends_to: Vec<&'static str>,
    has_outbox: bool,
    options: AppOptions,
    classify: Option<Arc<Classify>>,
    routes: Option<RoutesFn<S>>,
    jobs: Vec<Job<S>>,
    on_stop: Option<StopFn<S>>,
    commands: Vec<OwnCommand<S>>,
    example: Option<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// Makes an app from the embedded scripts; `setup` runs once, after the schema has passed the gate.
    pub fn new<F, Fut>(scripts: Scripts, setup: F) -> Self
    where
        F: FnOnce(Setup) -> Fut + Send + 'static,
        Fut: Future<Output = Result<S, SetupError>> + Send + 'static,
    {
        let setup: SetupFn<S> = Box::new(move |given| Box::pin(setup(given)));
        Self {
            scripts,
            setup,
            queues: Vec::new(),
            sends_to: Vec::new(),
            has_outbox: false,
            options: AppOptions::default(),
            classify: None,
            routes: None,
            jobs: Vec::new(),
            on_stop: None,
            commands: Vec::new(),
            example: None,
        }
    }

    /// Adds a queue with the handler of its messages: [`Queue::handler`](crate::Queue::handler).
    #[must_use]
    pub fn queue(mut self, consumer: Consumer<S>) -> Self {
        self.queues.push(consumer);
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
        self.sends_to.push(queue.name());
        self
    }

    /// Publishes the messages that handlers send with `PgTx::send` and `MssqlTx::send`; needs the table `outbox`, see
    /// `docs/inbox.md`.
    #[must_use]
    pub fn outbox(mut self) -> Self {
        self.has_outbox = true;
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
    /// App::new(scripts, |_| async { Ok(()) }).queue(TEXTS.handler(save)).inbox(Retention::days(15)).run()
    /// # }
    /// ```
    #[must_use]
    pub fn inbox(mut self, retention: Retention) -> Self {
        self.options.inbox_retention = retention.duration();
        self
    }

    /// The most connections to the database that the app's pool opens; without it one for each handler and up to 16 more. With fewer than
    /// that a handler may wait for one, for ten seconds at the most. The variable `DATABASE_CONNECTIONS` overrides it.
    #[must_use]
    pub fn database_connections(mut self, most: usize) -> Self {
        self.options.connections = most;
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
        self.options.statement_timeout = limit;
        self
    }

    /// Decides what becomes of a message whose handler has passed an error on with `?`. `None` leaves it to the default: a
    /// message whose values the database can never take is rejected (SQLSTATE class 22 and 23502, and the same of SQL Server), any
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
        self.classify = Some(Arc::new(classify));
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
        self.routes = Some(Box::new(routes));
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
        self.jobs.push(Job { name, times, work: Arc::new(move |state| Box::pin(job(state))) });
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
        self.on_stop = Some(Box::new(move |state| Box::pin(stop(state))));
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
        self.commands.push(OwnCommand::new(name, about, run));
        self
    }

    /// Sets the body of a first message. The banner of a development launch shows the command that sends it.
    #[must_use]
    pub fn example(mut self, body: &'static str) -> Self {
        self.example = Some(body);
        self
    }

    /// Runs the command line and returns its exit code. `main` needs nothing else.
    #[must_use]
    pub fn run(self) -> ExitCode {
        ended(self.run_command())
    }

    fn run_command(self) -> Result<Exit, CommandError> {
        process::program::set(self.scripts.name);
        let mut environment = load_environment()?;
        let identity =
            Identity { name: self.scripts.name.to_owned(), version: self.scripts.version.to_owned() };
        let asked = self.command_line()?.try_get_matches().and_then(|matches| self.asked(&matches));
        let Asked { globals, command, given } = match asked {
            Ok(asked) => asked,
            Err(error) => return Ok(said(&error)),
        };
        let command = command.map_or_else(|| default_command(environment.env).map(Choice::Onward), Ok)?;
        let service = started_service(&identity, &command)?;
        let serves = service.is_some() || matches!(command, Choice::Onward(Command::Serve));
        if service.is_some() {
            environment.env = AppEnv::Production;
        }
        process::install_tls();
        let telemetry = log::start(environment.env, &identity, service.as_deref(), serves)?;
        let context = self.context(&environment, globals, identity)?;
        let runtime = tokio::runtime::Runtime::new().map_err(|error| {
            let message = format!("the runtime cannot start: {error}");
            CommandError::new(Exit::Failed, message, "check the limits of the system")
        })?;
        let log = telemetry.view();
        #[cfg(windows)]
        if let Some(service) = service {
            let (app, origins) = self.configured(&given)?;
            let work = Work { origins, ..app.into_work()? };
            let serving = move || {
                let exit = runtime.block_on(serve::run(&context, work, log));
                telemetry.end();
                exit
            };
            return crate::process::scm::run(&service, Box::new(serving));
        }
        let exit = runtime.block_on(async {
            match command {
                Choice::Onward(command) => self.dispatch(command, &context, log, &given).await,
                Choice::Own(name, arguments) => self.run_own(name, &arguments, &context).await,
            }
        });
        // After a second request to stop, the process does not wait for the exporters.
        if !matches!(exit, Ok(Exit::Interrupted)) {
            telemetry.end();
        }
        exit
    }

    /// The command line: Onward's commands and the app's own.
    fn command_line(&self) -> Result<clap::Command, CommandError> {
        let Scripts { name, version, .. } = self.scripts;
        let mut all = cli::command().name(name).version(version);
        for own in &self.commands {
            let is_taken =
                own.name == "help" || all.get_subcommands().any(|known| known.get_name() == own.name);
            if is_taken {
                let message = format!("the app has two commands of the name {}", own.name);
                let help = "give its own command another name: `App::new(…).command(\"import\", …)`";
                return Err(CommandError::new(Exit::Configuration, message, help));
            }
            all = all.subcommand(own.definition.clone());
        }
        Ok(all)
    }

    /// What the command line says.
    fn asked(&self, matches: &ArgMatches) -> Result<Asked, clap::Error> {
        if let Some((name, arguments)) = matches.subcommand()
            && let Some(own) = self.commands.iter().find(|own| own.name == name)
        {
            let command = Some(Choice::Own(own.name, arguments.clone()));
            let globals = Globals::from_arg_matches(matches)?;
            return Ok(Asked { globals, command, given: Given::default() });
        }
        let given = matches.subcommand_matches("serve").map(Given::of).unwrap_or_default();
        let Cli { globals, command } = Cli::from_arg_matches(matches)?;
        Ok(Asked { globals, command: command.map(Choice::Onward), given })
    }

    /// Runs a command of the app's own.
    async fn run_own(
        mut self,
        name: &str,
        arguments: &ArgMatches,
        context: &Context,
    ) -> Result<Exit, CommandError> {
        let place = self.commands.iter().position(|own| own.name == name);
        let Some(own) = place.map(|place| self.commands.swap_remove(place)) else {
            return Err(CommandError::fault(format!("there is no command {name}")));
        };
        match (own.bind)(arguments) {
            Ok(run) => {
                options::configure_app(&mut self.options, &Given::default(), variable)
                    .map_err(wrong_value)?;
                serve::command::run(context, self.into_work()?, name, run).await
            }
            Err(error) => Ok(said(&error)),
        }
    }

    fn context(
        &self,
        environment: &Environment,
        globals: Globals,
        identity: Identity,
    ) -> Result<Context, CommandError> {
        let history = self.scripts.history().map_err(|error| {
            CommandError::new(Exit::Failed, error, "build the app again, with one version of Onward")
        })?;
        Ok(Context { settings: Settings::new(environment, globals), history, identity })
    }

    async fn dispatch(
        self,
        command: Command,
        context: &Context,
        log: LogView,
        given: &Given,
    ) -> Result<Exit, CommandError> {
        match command {
            Command::Serve => {
                let (app, origins) = self.configured(given)?;
                serve::run(context, Work { origins, ..app.into_work()? }, log).await
            }
            Command::Migrate(options) => command::migrate::run(context, &options).await,
            Command::Adopt(options) => command::adopt::run(context, &options).await,
            #[cfg(feature = "local")]
            Command::Rebuild(options) => command::rebuild::run(context, &options).await,
            Command::Status { json, exit_code, drift, grants } => {
                let options = command::status::Options {
                    as_json: json,
                    by_state: exit_code,
                    drift: drift.then_some(grants),
                };
                command::status::show(context, &options).await
            }
            Command::History { json } => command::history::show(context, json).await,
            Command::Completions { shell } => {
                let (mut command, mut script) = (self.command_line()?, Vec::new());
                clap_complete::generate(shell, &mut command, self.scripts.name, &mut script);
                data(String::from_utf8_lossy(&script).trim_end()).map(|()| Exit::Done)
            }
            Command::Man => {
                let mut page = Vec::new();
                let written = clap_mangen::Man::new(self.command_line()?).render(&mut page);
                written.map_err(CommandError::fault)?;
                data(String::from_utf8_lossy(&page).trim_end()).map(|()| Exit::Done)
            }
            Command::Check => command::status::check(context).await,
            Command::Doctor { json } => {
                let (app, AllOrigins { queues: of_queues, app: origins }) = self.configured(given)?;
                let sends_to = app.only_sent_to();
                let queues = app.queues.into_iter().zip(of_queues);
                let queues: Vec<_> =
                    queues.map(|(queue, origins)| (queue.name, queue.options, origins)).collect();
                let whole = Whole { sends_to, has_outbox: app.has_outbox, options: app.options, origins };
                command::doctor::run(context, &queues, &whole, json).await
            }
            Command::Service(command) => service::run(&context.settings, &context.identity, &command),
            Command::Queue(queue) => command::queue::run(context, &queue).await,
            #[cfg(feature = "local")]
            Command::Script(script) => command::script::of_app(context, &script).await,
        }
    }

    /// The app with its options as flags and variables say, and where their values come from.
    fn configured(mut self, given: &Given) -> Result<(Self, AllOrigins), CommandError> {
        let names: Vec<_> = self.queues.iter().map(|queue| queue.name).collect();
        if let Some((flag, queue)) = given.unknown(&names) {
            let message = format!("--{flag} names the queue {queue}, which the app does not work");
            return Err(CommandError::new(Exit::Usage, message, format!("it works {}", names.join(", "))));
        }
        let suffixes: Vec<_> = names.iter().map(|name| variable_suffix(name)).collect();
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if options::names_no_queue(&name, &suffixes) {
                let queues = names.join(", ");
                tracing::warn!(
                    variable = name,
                    queues,
                    "a variable names a queue that the app does not work"
                );
            }
        }
        let configure = |(queue, suffix): (&mut Consumer<S>, &String)| {
            options::configure(&mut queue.options, queue.name, suffix, given, variable)
        };
        let configured: Result<Vec<_>, _> = self.queues.iter_mut().zip(&suffixes).map(configure).collect();
        let queues = configured.map_err(wrong_value)?;
        let app = options::configure_app(&mut self.options, given, variable).map_err(wrong_value)?;
        Ok((self, AllOrigins { queues, app }))
    }

    #[cfg(feature = "local")]
    pub(crate) const fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// The queues to which it sends and which it does not work.
    fn only_sent_to(&self) -> Vec<&'static str> {
        let mut names: HashSet<_> = self.queues.iter().map(|queue| queue.name).collect();
        self.sends_to.iter().copied().filter(|name| names.insert(name)).collect()
    }

    pub(crate) fn into_work(self) -> Result<Work<S>, CommandError> {
        let wrong = |message: String| {
            let help = "give each queue one handler, and each job a name of its own: \
                        `App::new(…).queue(ORDERS.handler(take_order))`";
            Err(CommandError::new(Exit::Configuration, message, help))
        };
        if self.queues.is_empty() {
            return wrong("the app has no queue".to_owned());
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.queues.iter().find(|queue| !names.insert(queue.name)) {
            return wrong(format!("the app has two handlers for the queue {}", twice.name));
        }
        let mut names = HashSet::new();
        if let Some(twice) = self.jobs.iter().find(|job| !names.insert(job.name)) {
            return wrong(format!("the app has two jobs of the name {}", twice.name));
        }
        let sends_to = self.only_sent_to();
        let Self { queues, setup, has_outbox, options, classify, routes, jobs, on_stop, example, .. } = self;
        let origins = AllOrigins { queues: vec![Vec::new(); queues.len()], app: Vec::new() };
        Ok(Work {
            queues,
            sends_to,
            setup,
            has_outbox,
            options,
            classify,
            routes,
            jobs,
            on_stop,
            example,
            origins,
        })
    }
}

fn wrong_value(WrongValue { origin, value, form }: WrongValue) -> CommandError {
    let message = format!("{origin} is `{value}`, and must be {form}");
    CommandError::new(Exit::Configuration, message, "correct it; `serve --help` lists the options")
}

/// What the command line asks for.
struct Asked {
    globals: Globals,
    command: Option<Choice>,
    /// The flags of the workers.
    given: Given,
}

/// A command.
enum Choice {
    Onward(Command),
    /// One of the app's own, with its arguments.
    Own(&'static str, ArgMatches),
}

/// The name of the service, if a service manager started this process and passes the name.
#[cfg(windows)]
fn started_service(identity: &Identity, command: &Choice) -> Result<Option<String>, CommandError> {
    match command {
        Choice::Onward(Command::Service(crate::cli::Service::Run(named))) => {
            service::name(identity, named).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(not(windows))]
fn started_service(_: &Identity, _: &Choice) -> Result<Option<String>, CommandError> {
    Ok(None)
}

/// Without a command the app serves in development; in production a command is required.
fn default_command(env: AppEnv) -> Result<Command, CommandError> {
    match env {
        AppEnv::Development => Ok(Command::Serve),
        AppEnv::Production => {
            let help = "give `migrate`, `serve` or another command; `--help` lists them";
            Err(CommandError::new(Exit::Usage, "no command", help))
        }
    }
}
