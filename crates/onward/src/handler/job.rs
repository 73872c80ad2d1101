use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use onward_worker::Failure;

use crate::handler::state::AnyState;

type JobFn = dyn Fn(AnyState) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync;

/// What an app does at certain times.
#[derive(Clone)]
pub(crate) struct Job {
    pub name: &'static str,
    /// A cron expression.
    pub times: &'static str,
    pub work: Arc<JobFn>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, times, .. } = self;
        f.debug_struct("Job").field("name", name).field("times", times).finish_non_exhaustive()
    }
}
