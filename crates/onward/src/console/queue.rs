use std::sync::Arc;

use onward_worker::Options;

use crate::console::letters::Letters;
use crate::console::samples::Samples;
use crate::handler::breaker::PausedKeys;
use crate::letters::backlog::Counted;
use crate::options::Origins;
use crate::telemetry::metrics::Watched;

/// One queue of the app.
pub(crate) struct QueueSite {
    pub watched: Watched,
    pub counted: Arc<Counted>,
    pub options: Options,
    pub origins: Origins,
    /// Of the breakers around its handler.
    pub paused: Vec<PausedKeys>,
    pub letters: Letters,
    pub samples: Samples,
}
