use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::claim::Claim;

type Claims = VecDeque<Box<Claim>>;

/// The groups of a FIFO queue of which messages are under way here, each with what has come since and waits behind them.
///
/// Where leases have ended, the queue delivers again what is here, and with it messages that come behind. Those must not overtake it.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<HashMap<String, Claims>>);

/// A group whose messages are under way in one task, until it is over or dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    groups: Arc<Groups>,
    name: String,
    is_over: bool,
}

impl Groups {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Claims>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts messages behind those of their group that are under way. If there are none, the messages are under way from now on, and come back
    /// to be delivered.
    pub(crate) fn enter(self: &Arc<Self>, name: String, claims: Claims) -> Option<(UnderWay, Claims)> {
        let mut all = self.all();
        if let Some(waiting) = all.get_mut(&name) {
            waiting.extend(claims);
            return None;
        }
        all.insert(name.clone(), Claims::new());
        Some((UnderWay { groups: self.clone(), name, is_over: false }, claims))
    }
}

impl UnderWay {
    /// What has come since. If that is nothing, the group is over.
    pub(crate) fn next(&mut self) -> Claims {
        let mut all = self.groups.all();
        let came = all.get_mut(&self.name).map(std::mem::take).unwrap_or_default();
        if came.is_empty() {
            all.remove(&self.name);
            self.is_over = true;
        }
        came
    }

    /// Ends the group. What has come since is to be given back.
    pub(crate) fn end(&mut self) -> Claims {
        self.is_over = true;
        self.groups.all().remove(&self.name).unwrap_or_default()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_over {
            drop(self.end());
        }
    }
}
