use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, Failed};
use crate::settings::AppEnv;

/// Our own events, and of the libraries only what somebody must see.
const DEFAULT_FILTER: &str = "warn,app=info,onward=info,onward_worker=info,onward_migrate=info";

/// Sends the log to stderr: text for a person, JSON for a log collector.
pub(crate) fn start(env: AppEnv, app: &str) -> Result<(), Failed> {
    let directives = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty());
    let directives = directives.unwrap_or_else(|| format!("{DEFAULT_FILTER},{}=info", app.replace('-', "_")));
    // tiberius logs each error of the server as one of its own, those too that are an answer, such as a duplicate key.
    let quiet = if directives.contains("tiberius") { "" } else { ",tiberius=off" };
    let directives = format!("{directives}{quiet}");
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        let help = "write it as `info` or `warn,onward=debug`";
        Failed::new(Exit::Configuration, format!("RUST_LOG is not understood: {error}"), help)
    })?;
    let terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = if env == AppEnv::Production && !terminal {
        log.json().flatten_event(true).try_init()
    } else {
        log.with_ansi(terminal).with_target(false).try_init()
    };
    started.map_err(|error| Failed::new(Exit::Failed, error, "the app starts its log only once"))
}
