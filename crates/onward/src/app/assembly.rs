use std::collections::HashSet;

use crate::config::queues::variable_suffix;
use crate::config::settings::variable;
use crate::handler::command::OwnCommand;
use crate::handler::work::{QueueWork, Work};
use crate::options::{self, AllOrigins, Given, WrongValue};
use crate::process::exit::{CommandError, Exit};
use crate::scripts::Scripts;

/// All that an app is made of, without the type of its state, so that what runs it is compiled with Onward and not with each app.
pub(crate) struct Assembly {
    pub scripts: Scripts,
    pub commands: Vec<OwnCommand>,
    pub work: Work,
}

impl Assembly {
    /// The app with its options as flags and variables say, and where their values come from.
    pub(super) fn configured(mut self, given: &Given) -> Result<Self, CommandError> {
        let names: Vec<_> = self.work.queues.iter().map(|queue| queue.name).collect();
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
        let queues: Result<Vec<_>, _> = self.work.queues.iter_mut().zip(&suffixes).map(configure).collect();
        let queues = queues.map_err(wrong_value)?;
        let app = options::configure_app(&mut self.work.options, given, variable).map_err(wrong_value)?;
        self.work.origins = AllOrigins { queues, app };
        Ok(self)
    }

    /// What the app brings to its workers, if it is whole.
    pub(crate) fn into_work(self) -> Result<Work, CommandError> {
        let wrong = |message: String| {
            let help = "give each queue one handler, and each job a name of its own: \
                        `App::new(…).queue(ORDERS.handler(take_order))`";
            Err(CommandError::new(Exit::Configuration, message, help))
        };
        let Work { queues, jobs, .. } = &self.work;
        if queues.is_empty() {
            return wrong("the app has no queue".to_owned());
        }
        let mut names = HashSet::new();
        if let Some(twice) = queues.iter().find(|queue| !names.insert(queue.name)) {
            return wrong(format!("the app has two handlers for the queue {}", twice.name));
        }
        let mut names = HashSet::new();
        if let Some(twice) = jobs.iter().find(|job| !names.insert(job.name)) {
            return wrong(format!("the app has two jobs of the name {}", twice.name));
        }
        Ok(self.work)
    }
}

pub(super) fn wrong_value(WrongValue { origin, value, form }: WrongValue) -> CommandError {
    let message = format!("{origin} is `{value}`, and must be {form}");
    CommandError::new(Exit::Configuration, message, "correct it; `serve --help` lists the options")
}
