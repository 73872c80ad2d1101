//! The checks of `doctor`: one line for each, with its result and the remedy. They change nothing.

mod database;
mod queue;

use std::time::Duration;

use onward_worker::{FLUSH, Options};

use crate::config::context::Context;
use crate::config::settings::{AppEnv, Settings};
use crate::options::{APP_SETTINGS, AppOptions, Origins, SETTINGS, Setting};
use crate::outbox::relay::LAST_TURN;
use crate::process::exit::CommandError;
use crate::process::program::named;

/// One check.
pub(crate) struct Check {
    pub what: &'static str,
    pub verdict: Verdict,
    pub says: String,
    pub help: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    Doubtful,
    Wrong,
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Doubtful => "doubt",
            Self::Wrong => "wrong",
        }
    }
}

fn well(what: &'static str, says: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Well, says: says.into(), help: None }
}

fn doubtful(what: &'static str, says: impl Into<String>, help: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Doubtful, says: says.into(), help: Some(help.into()) }
}

fn wrong(what: &'static str, says: impl Into<String>, help: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Wrong, says: says.into(), help: Some(help.into()) }
}

/// Turns an error into a check.
pub(crate) fn failed(what: &'static str, error: CommandError) -> Check {
    wrong(what, error.message, error.help)
}

/// All checks: of the configuration, the database, the options, the stop and the queues.
pub(crate) async fn all(context: &Context, worked: &[Worked], whole: &Whole) -> Vec<Check> {
    let mut checks = vec![environment(&context.settings)];
    let handlers = worked.iter().map(|(_, options, _)| options.concurrency).sum();
    checks.extend(database::checks(context, whole, handlers).await);
    checks.push(set("the app", &APP_SETTINGS, &whole.options, &whole.origins));
    checks.extend(worked.iter().map(|(queue, options, origins)| set(queue, &SETTINGS, options, origins)));
    checks.push(stop(worked, whole.has_outbox));
    let retention = whole.options.inbox_retention;
    checks
        .extend(queue::checks(&context.settings, worked, (!retention.is_zero()).then_some(retention)).await);
    checks.extend(queue::sent_to(&context.settings, &whole.sends_to).await);
    for check in &mut checks {
        check.says = named(&check.says);
        check.help = check.help.as_deref().map(named);
    }
    checks
}

/// A queue of the app, its options, and where those come from that the environment has set.
pub(crate) type Worked = (&'static str, Options, Origins);

/// What is of the app as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    /// The queues to which it sends and which it does not work.
    pub sends_to: Vec<&'static str>,
    pub has_outbox: bool,
    pub options: AppOptions,
    pub origins: Origins,
}

/// The options that differ from the defaults.
fn set<O: Clone + Default>(
    of: &str,
    settings: &[Setting<O>],
    options: &O,
    origins: &[(&'static str, String)],
) -> Check {
    let defaults = O::default();
    let set = settings.iter().filter_map(|setting| {
        let value = setting.show(options);
        let origin =
            origins.iter().find(|(flag, _)| *flag == setting.flag).map(|(_, origin)| origin.as_str());
        let is_default = origin.is_none() && value == setting.show(&defaults);
        (!is_default).then(|| format!("{} {value} (from {})", setting.flag, origin.unwrap_or("the app")))
    });
    let set: Vec<_> = set.collect();
    let says = match set.is_empty() {
        true => format!("{of}: the defaults"),
        false => format!("{of}: {}; else the defaults", set.join(", ")),
    };
    well("options", says)
}

/// How long a stop may take, and whether ECS waits so long.
fn stop(worked: &[Worked], has_outbox: bool) -> Check {
    let grace = worked.iter().map(|(_, options, _)| options.grace).max().unwrap_or_default();
    // What is under way ends, and what is left is published.
    let outbox = if has_outbox { LAST_TURN * 2 } else { Duration::ZERO };
    let longest = grace + FLUSH + outbox + REST;
    let says = format!(
        "takes up to {longest:?}: {grace:?} for handlers, {FLUSH:?} for the last deletes{}, {REST:?} for the rest",
        if has_outbox { format!(", {outbox:?} for the outbox") } else { String::new() }
    );
    if longest > ECS_PATIENCE && std::env::var_os("ECS_CONTAINER_METADATA_URI_V4").is_some() {
        let seconds = longest.as_secs() + 5;
        let help = format!(
            "set `stopTimeout` of the container to {seconds}, up to 120, or lower --stop-grace: ECS kills the process after 30s by default"
        );
        return doubtful("stop", says, help);
    }
    well("stop", says)
}

/// How long `App::on_stop` (10 s), the console (10 s) and the HTTP endpoint (5 s) may take to end.
const REST: Duration = Duration::from_secs(25);

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_timeout>
const ECS_PATIENCE: Duration = Duration::from_secs(30);

fn environment(settings: &Settings) -> Check {
    let env = match settings.env {
        AppEnv::Development => "development",
        AppEnv::Production => "production",
    };
    let set = settings.origins.iter().map(|(name, origin)| match origin {
        None => format!("{name} is not set"),
        Some(origin) => format!("{name} comes from {origin}"),
    });
    well("configuration", format!("{env}; {}", set.collect::<Vec<_>>().join(", ")))
}
