use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use onward_worker::Failure;

type JobFn<S> = dyn Fn(S) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync;

/// What an app does at certain times.
pub(crate) struct Job<S> {
    pub name: &'static str,
    /// A cron expression.
    pub times: &'static str,
    pub work: Arc<JobFn<S>>,
}

impl<S> Clone for Job<S> {
    fn clone(&self) -> Self {
        Self { work: self.work.clone(), ..*self }
    }
}

impl<S> fmt::Debug for Job<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, times, .. } = self;
        f.debug_struct("Job").field("name", name).field("times", times).finish_non_exhaustive()
    }
}
