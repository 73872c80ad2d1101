use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::leases::Lease;

/// The messages that this worker has, so that it never runs one twice at once: SQS delivers a message again when its lease
/// has ended, also while its handler runs.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    /// The lease of a later delivery of each message, where there was one.
    newer: HashMap<Arc<str>, Option<Lease>>,
    /// How many messages of each group of a FIFO queue are here.
    groups: HashMap<Arc<str>, usize>,
}

/// The only run of a message in this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Run {
    runs: Arc<Runs>,
    id: Arc<str>,
    group: Option<Arc<str>>,
    has_ended: bool,
}

impl Runs {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a run. If the message is here already, its run takes over the newer lease. `group` is that of a FIFO queue.
    pub(crate) fn begin(
        self: &Arc<Self>,
        id: &str,
        group: Option<&str>,
        lease: Lease,
    ) -> Result<(Run, Lease), AlreadyHere> {
        let mut all = self.all();
        if let Some(newer) = all.newer.get_mut(id) {
            let older = newer.replace(lease);
            drop(all);
            // The end of a lease takes a lock of its own.
            drop(older);
            return Err(AlreadyHere);
        }
        let (id, group) = (Arc::<str>::from(id), group.map(Arc::<str>::from));
        all.newer.insert(id.clone(), None);
        if let Some(group) = &group {
            *all.groups.entry(group.clone()).or_default() += 1;
        }
        Ok((Run { runs: self.clone(), id, group, has_ended: false }, lease))
    }

    /// Whether messages of a group are here.
    pub(crate) fn has_group(&self, group: &str) -> bool {
        self.all().groups.contains_key(group)
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
        self.runs.all().newer.get_mut(&self.id).and_then(Option::take)
    }

    /// Ends it, with the lease of a later delivery, if there was one.
    pub(crate) fn end(mut self) -> Option<Lease> {
        self.leave()
    }

    fn leave(&mut self) -> Option<Lease> {
        // Another run of the message may have begun since.
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        let mut all = self.runs.all();
        let newer = all.newer.remove(&self.id);
        if let Some(group) = &self.group
            && let Some(here) = all.groups.get_mut(group)
        {
            *here -= 1;
            if *here == 0 {
                all.groups.remove(group);
            }
        }
        newer.flatten()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.leave();
    }
}
