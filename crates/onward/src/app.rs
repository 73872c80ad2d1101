use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};
use onward_script::History;
use onward_worker::{Failure, Message, Options};
use tower::{BoxError, Layer, Service};

use crate::cli::{Cli, Command};
use crate::command::{self, migrate::Identity};
use crate::database::Database;
use crate::exit::{Exit, Failed};
use crate::handler::Handler;
use crate::layer::MessageService;
use crate::scripts::Scripts;
use crate::serve::{self, Work, WorkedQueue};
use crate::settings::{AppEnv, Settings, load_environment};
use crate::telemetry::{self, LogLevels};
use crate::terminal::note;

/// What an app's set-up gets to build its state from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The database, whose schema has passed the gate.
    pub database: Database,
    /// In development without a `QUEUE_URL`: a stub that answers like an external HTTP service.
    pub echo_url: Option<String>,
}

type SetupError = Box<dyn std::error::Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(crate) type SetupFn<S> = Box<dyn FnOnce(Setup) -> Boxed<Result<S, SetupError>> + Send>;
pub(crate) type BoxedHandler<S> =
    Arc<dyn Fn(Message, S, Database) -> Boxed<Result<(), Failure>> + Send + Sync>;

pub(crate) type BoxedLayer = Box<dyn FnOnce(MessageService) -> MessageService + Send>;

/// An app: embedded scripts, a state, queues and their handlers.
pub struct App<S> {
    scripts: Scripts,
    setup: SetupFn<S>,
    queues: Vec<WorkedQueue<S>>,
    has_outbox: bool,
    example: Option<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> App<S> {
    /// An app over what the build embedded; `setup` runs once, after the schema has passed the gate.
    pub fn new<F, Fut>(scripts: Scripts, setup: F) -> Self
    where
        F: FnOnce(Setup) -> Fut + Send + 'static,
        Fut: Future<Output = Result<S, SetupError>> + Send + 'static,
    {
        let setup: SetupFn<S> = Box::new(move |given| Box::pin(setup(given)));
        Self { scripts, setup, queues: Vec::new(), has_outbox: false, example: None }
    }

    /// A queue and the handler of its messages; in development the local queue has this name.
    ///
    /// The first queue's address is `QUEUE_URL`; that of each further one is `QUEUE_URL_NAME`, its name in capitals and
    /// with `_` for what is no letter or digit. Each has its own concurrency and its own polls.
    #[must_use]
    pub fn handler<A: 'static>(mut self, queue: &'static str, handler: impl Handler<S, A>) -> Self {
        let boxed: BoxedHandler<S> = Arc::new(move |message, state, database| {
            let handler = handler.clone();
            Box::pin(async move { handler.call(queue, message, state, database).await })
        });
        let options = Options::default();
        self.queues.push(WorkedQueue { name: queue, handler: boxed, layers: Vec::new(), options });
        self
    }

    /// How the queue that was named last is worked, where the defaults do not fit.
    ///
    /// # Panics
    ///
    /// If no queue was named yet.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.queues.last_mut().expect("options follow the handler that they are for").options = options;
        self
    }

    /// A layer of tower around the handler of the queue that was named last: a timeout, a limit, [`LimitByKey`]. The one
    /// that was added last sees a message first.
    ///
    /// What a message waits for in a layer counts towards the handler's timeout, and takes one of its places. A layer's
    /// own error brings the message back later, as [`Failure::retry`] does.
    ///
    /// [`LimitByKey`]: crate::LimitByKey
    ///
    /// # Panics
    ///
    /// If no queue was named yet.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<MessageService> + Send + 'static,
        L::Service: Service<Message, Response = ()> + Clone + Send + Sync + 'static,
        <L::Service as Service<Message>>::Error: Into<BoxError>,
        <L::Service as Service<Message>>::Future: Send + 'static,
    {
        let queue = self.queues.last_mut().expect("a layer follows the handler that it is for");
        queue.layers.push(Box::new(move |service| MessageService::new(layer.layer(service))));
        self
    }

    /// Publishes what handlers send with `PgTx::send` and `MssqlTx::send`; needs the table `outbox`, see `docs/inbox.md`.
    #[must_use]
    pub fn outbox(mut self) -> Self {
        self.has_outbox = true;
        self
    }

    /// The body of a first message, which the banner of a development launch shows how to send.
    #[must_use]
    pub fn example(mut self, body: &'static str) -> Self {
        self.example = Some(body);
        self
    }

    /// Runs the command line and returns its exit code: what `main` does.
    ///
    /// # Panics
    ///
    /// If no handler was given.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let exit = match self.run_command() {
            Ok(exit) => exit,
            Err(failed) => {
                note(&format!("error: {}", failed.message));
                failed.exit
            }
        };
        ExitCode::from(exit as u8)
    }

    fn run_command(self) -> Result<Exit, Failed> {
        let mut environment = load_environment()?;
        let name = self.scripts.name;
        let identity = Identity { name: name.to_owned(), version: self.scripts.version.to_owned() };
        let matches = Cli::command().name(name).version(self.scripts.version).try_get_matches();
        let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => {
                // Help and version are answers; everything else is a wrong command line.
                let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
                let _ = error.print();
                return Ok(exit);
            }
        };
        let command = cli.command.map_or_else(|| default_command(environment.env), Ok)?;
        let service = started_service(&identity, &command)?;
        let serves = service.is_some() || matches!(command, Command::Serve);
        if service.is_some() {
            environment.env = AppEnv::Production;
        }
        // There is one TLS provider in the tree; whoever asks for the default gets it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let telemetry = telemetry::start(environment.env, &identity, service.as_deref(), serves)?;
        let history = self.scripts.history().map_err(|error| {
            Failed::new(Exit::Failed, error, "build the app again, with one version of Onward")
        })?;
        let settings = Settings::new(&environment, cli.globals);
        let runtime = tokio::runtime::Runtime::new().map_err(|error| {
            Failed::new(Exit::Failed, format!("no runtime: {error}"), "see the system's limits")
        })?;
        #[cfg(windows)]
        if let Some(service) = service {
            let work = self.into_work(settings.env);
            let serving = move || {
                let levels = telemetry.levels.clone();
                let exit = runtime.block_on(serve::run(&settings, &history, &identity, work, levels));
                telemetry.end();
                exit
            };
            return crate::scm::run(&service, Box::new(serving));
        }
        let levels = telemetry.levels.clone();
        let exit = runtime.block_on(self.dispatch(command, &settings, &history, &identity, levels));
        // A second request to stop waits for nothing.
        if !matches!(exit, Ok(Exit::Interrupted)) {
            telemetry.end();
        }
        exit
    }

    async fn dispatch(
        self,
        command: Command,
        settings: &Settings,
        history: &History,
        identity: &Identity,
        levels: LogLevels,
    ) -> Result<Exit, Failed> {
        match command {
            Command::Serve => {
                serve::run(settings, history, identity, self.into_work(settings.env), levels).await
            }
            Command::Migrate(options) => command::migrate::run(settings, history, identity, &options).await,
            Command::Adopt(options) => command::adopt::run(settings, history, identity, &options).await,
            #[cfg(feature = "local")]
            Command::Rebuild(options) => command::rebuild::run(settings, history, identity, &options).await,
            Command::Status { json } => command::status::show(settings, history, identity, json).await,
            Command::Check => command::status::check(settings, history, identity).await,
            Command::Doctor { json } => {
                let queues: Vec<_> =
                    self.queues.iter().map(|queue| (queue.name, queue.options.clone())).collect();
                command::doctor::run(settings, history, identity, &queues, json).await
            }
            Command::Service(service) => command::service::run(settings, identity, &service),
            Command::Queue(queue) => command::queue::run(settings, &queue).await,
            #[cfg(feature = "local")]
            Command::Script(script) => command::script::run(settings, history, identity, &script).await,
        }
    }

    fn into_work(self, env: AppEnv) -> Work<S> {
        assert!(!self.queues.is_empty(), "an app has a handler: App::handler");
        let mut queues = self.queues;
        if env == AppEnv::Development {
            for queue in &mut queues {
                // The open poll is awaited at the stop; a developer who presses Ctrl-C does not wait 20 s for it,
                // and the local queue costs nothing a poll.
                queue.options.wait = queue.options.wait.min(std::time::Duration::from_secs(1));
            }
        }
        Work { queues, setup: self.setup, has_outbox: self.has_outbox, example: self.example }
    }
}

/// The service that a manager has started this process as, where it takes part in that.
#[cfg(windows)]
fn started_service(identity: &Identity, command: &Command) -> Result<Option<String>, Failed> {
    match command {
        Command::Service(crate::cli::Service::Run(named)) => {
            command::service::name(identity, named).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(not(windows))]
fn started_service(_: &Identity, _: &Command) -> Result<Option<String>, Failed> {
    Ok(None)
}

/// Without a command: serve in development; in production nothing happens that was not asked for.
fn default_command(env: AppEnv) -> Result<Command, Failed> {
    match env {
        AppEnv::Development => Ok(Command::Serve),
        AppEnv::Production => {
            let help = "say `migrate`, `serve` or another one; `--help` lists them";
            Err(Failed::new(Exit::Usage, "no command", help))
        }
    }
}
