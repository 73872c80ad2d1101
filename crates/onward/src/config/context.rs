use onward_script::History;

use crate::config::identity::Identity;
use crate::config::settings::Settings;

/// The context of every command: the settings, the embedded scripts, and the app's identity.
#[derive(Debug)]
pub(crate) struct Context {
    pub settings: Settings,
    pub history: History,
    pub identity: Identity,
}
