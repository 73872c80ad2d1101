use std::time::Duration;

use onward_migrate::{Divergence, Error, SchemaState, SessionOptions, Status};
use onward_script::History;

use crate::config::identity::Identity;
use crate::config::settings::{AppEnv, Settings};

/// For how long `migrate` and the start of `serve` wait for a server that says that it comes back: a failover takes less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The context of every command: the settings, the embedded scripts, and the app's identity.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub settings: Settings,
    pub history: History,
    pub identity: Identity,
}

impl Context {
    /// The error for a state that nothing can start from, with the remedy that fits here: a development database may be made anew.
    pub(crate) fn state_error(&self, status: &Status) -> Error {
        let mut error = Error::state(status);
        let is_half_done =
            status.divergences.iter().any(|found| matches!(found, Divergence::HalfDone { .. }));
        if self.settings.env == AppEnv::Development && status.state == SchemaState::Diverged && !is_half_done
        {
            error.help = "if nothing in this development database is needed, rebuild it: `cargo run -- rebuild`; else restore the \
                          scripts that it has, and write what is new into a new one"
                .to_owned();
        }
        error
    }

    /// A session that only reads, and says what for.
    pub(crate) fn reading(&self, purpose: &str) -> SessionOptions {
        SessionOptions { reads_only: true, ..self.session(purpose) }
    }

    /// A session that says what it is for.
    pub(crate) fn session(&self, purpose: &str) -> SessionOptions {
        SessionOptions {
            application_name: format!("{} {purpose}", self.identity.name),
            journal_schema: self.settings.journal_schema.clone(),
            ..SessionOptions::default()
        }
    }
}
