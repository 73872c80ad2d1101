use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::leases::Lease;

/// The messages that this process has, so that it never runs one twice at once: SQS delivers a message again when its lease
/// has ended, also while its handler runs.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<HashMap<Arc<str>, Option<Lease>>>);

/// The only run of a message in this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Run {
    runs: Arc<Runs>,
    id: Arc<str>,
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Option<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run. If the message is here already, its run takes over the newer lease.
    pub(crate) fn begin(self: &Arc<Self>, id: &str, lease: Lease) -> Result<(Run, Lease), AlreadyHere> {
        let mut all = self.all();
        if let Some(newer) = all.get_mut(id) {
            let older = newer.replace(lease);
            drop(all);
            // The end of a lease takes a lock of its own.
            drop(older);
            return Err(AlreadyHere);
        }
        let id = Arc::<str>::from(id);
        all.insert(id.clone(), None);
        Ok((Run { runs: self.clone(), id }, lease))
    }
}

/// The message is in this process already.
#[derive(Debug)]
pub(crate) struct AlreadyHere;

impl Run {
    /// The id of its message.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The lease of a later delivery, if there was one.
    pub(crate) fn newer_lease(&self) -> Option<Lease> {
        self.runs.all().get_mut(&self.id).and_then(Option::take)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let unused = self.runs.all().remove(&self.id);
        drop(unused);
    }
}
