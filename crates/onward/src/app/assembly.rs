use std::collections::HashSet;
use std::sync::Arc;

use crate::config::queues::variable_suffix;
use crate::config::settings::variable;
use crate::handler::command::OwnCommand;
use crate::handler::errors::Classify;
use crate::handler::job::Job;
use crate::handler::work::{QueueWork, RoutesFn, SetupFn, StopFn, Work};
use crate::options::{self, AllOrigins, AppOptions, Given, WrongValue};
use crate::process::exit::{CommandError, Exit};
use crate::scripts::Scripts;

/// All that an app is made of, without the type of its state, so that what runs it is compiled with Onward and not with each app.
pub(crate) struct Assembly {
    pub scripts: Scripts,
    pub setup: SetupFn,
    pub queues: Vec<QueueWork>,
    pub sends_to: Vec<&'static str>,
    pub has_outbox: bool,
    pub options: AppOptions,
    pub classify: Option<Arc<Classify>>,
    pub routes: Option<RoutesFn>,
    pub jobs: Vec<Job>,
    pub on_stop: Option<StopFn>,
    pub commands: Vec<OwnCommand>,
    pub example: Option<&'static str>,
}

impl Assembly {
    /// The app with its options as flags and variables say, and where their values come from.
    pub(super) fn configured(mut self, given: &Given) -> Result<(Self, AllOrigins), CommandError> {
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
        let configure = |(queue, suffix): (&mut QueueWork, &String)| {
            options::configure(&mut queue.options, queue.name, suffix, given, variable)
        };
        let configured: Result<Vec<_>, _> = self.queues.iter_mut().zip(&suffixes).map(configure).collect();
        let queues = configured.map_err(wrong_value)?;
        let app = options::configure_app(&mut self.options, given, variable).map_err(wrong_value)?;
        Ok((self, AllOrigins { queues, app }))
    }

    /// The queues to which it sends and which it does not work.
    pub(super) fn only_sent_to(&self) -> Vec<&'static str> {
        let mut names: HashSet<_> = self.queues.iter().map(|queue| queue.name).collect();
        self.sends_to.iter().copied().filter(|name| names.insert(name)).collect()
    }

    pub(crate) fn into_work(self) -> Result<Work, CommandError> {
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

pub(super) fn wrong_value(WrongValue { origin, value, form }: WrongValue) -> CommandError {
    let message = format!("{origin} is `{value}`, and must be {form}");
    CommandError::new(Exit::Configuration, message, "correct it; `serve --help` lists the options")
}
