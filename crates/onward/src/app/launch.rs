//! From the command line to what it asks for.

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches as _};

use crate::checks::Whole;
use crate::cli::{self, Cli, Command, Globals};
use crate::config::context::Context;
use crate::config::identity::Identity;
use crate::config::settings::{AppEnv, Environment, Settings, load_environment, variable};
use crate::handler::work::Work;
use crate::options::{self, Given};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, ended, said};
use crate::scripts::Scripts;
use crate::telemetry::log::{self, LogView};
use crate::{command, process, serve, service};

use super::assembly::{Assembly, wrong_value};

impl Assembly {
    pub(super) fn run(self) -> ExitCode {
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
            let work = self.configured(&given)?.into_work()?;
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
                options::configure_app(&mut self.work.options, &Given::default(), variable)
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
            Command::Serve => serve::run(context, self.configured(given)?.into_work()?, log).await,
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
                let work = self.configured(given)?.work;
                let sends_to = work.names().sent_to;
                let Work { queues, has_outbox, options, origins, .. } = work;
                let queues = queues.into_iter().zip(origins.queues);
                let queues: Vec<_> =
                    queues.map(|(queue, origins)| (queue.name, queue.options, origins)).collect();
                let whole = Whole { sends_to, has_outbox, options, origins: origins.app };
                command::doctor::run(context, &queues, &whole, json).await
            }
            Command::Service(command) => service::run(&context.settings, &context.identity, &command),
            Command::Queue(queue) => command::queue::run(context, &queue).await,
            #[cfg(feature = "local")]
            Command::Script(script) => command::script::of_app(context, &script).await,
        }
    }
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
