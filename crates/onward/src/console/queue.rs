use std::sync::Arc;

use onward_worker::Options;

use crate::console::letters::Letters;
use crate::letters::backlog::Counted;
use crate::options::Origins;
use crate::telemetry::metrics::Watched;

/// One queue of the app.
pub(super) struct QueueSite {
    pub watched: Watched,
    pub counted: Arc<Counted>,
    pub options: Options,
    pub origins: Origins,
    pub letters: Letters,
}
