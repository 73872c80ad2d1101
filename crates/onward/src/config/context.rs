use std::time::Duration;

use onward_migrate::SessionOptions;
use onward_script::History;

use crate::config::identity::Identity;
use crate::config::settings::Settings;

/// For how long `migrate` and the start of `serve` wait for a server that says that it comes back: a failover takes less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The context of every command: the settings, the embedded scripts, and the app's identity.
#[derive(Debug)]
pub(crate) struct Context {
    pub settings: Settings,
    pub history: History,
    pub identity: Identity,
}

impl Context {
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
