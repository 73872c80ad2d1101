use onward_script::History;

use crate::config::identity::Identity;
use crate::config::settings::Settings;

/// What every command works with: the configuration, the embedded scripts, and who the app is.
#[derive(Debug)]
pub(crate) struct Context {
    pub settings: Settings,
    pub history: History,
    pub identity: Identity,
}
