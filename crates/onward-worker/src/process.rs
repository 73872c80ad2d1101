use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::crashes::{Crashes, Running, Suspect};
use crate::finished::Finished;
use crate::outcome::Lane;

/// What the workers of one process share. A message that kills the process takes with it what all of them hold, so each worker must
/// know of a suspicious message of another one.
///
/// ```
/// use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, run_in};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let process = Process::default();
/// let handler = |_: Message| async { Ok::<_, Failure>(()) };
/// let work = |queue| run_in(&process, queue, handler, Options::default(), Monitor::default(), async {});
/// let (orders, invoices) = tokio::join!(work(MemoryQueue::new()), work(MemoryQueue::new()));
/// # orders.unwrap();
/// # invoices.unwrap();
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Process(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Held for reading by all that is under way, for writing by an attempt that must be alone.
    alone: RwLock<()>,
    /// How many suspicious messages are here.
    suspicious: AtomicUsize,
    /// The last suspicious message is gone.
    calm: Notify,
    /// How many receives are being sorted: their messages are here, and those with few receives left are just sent anew.
    sorting: AtomicUsize,
    /// One of them is sorted.
    sorted: Notify,
    /// What each worker has done and not deleted, and how it is deleted.
    workers: Mutex<Vec<(Weak<Finished>, Weak<Lane>)>>,
    crashes: Option<Crashes>,
}

impl Process {
    /// A process that writes into a folder what runs, so that the next process knows which messages may have ended it. Those run
    /// alone, and a message that has ended three processes while it ran alone is given up with that reason. Without the folder every
    /// message that was received three times is suspicious, and only SQS's redrive policy ends one, after `maxReceiveCount` receives
    /// and without a reason.
    ///
    /// The folder must outlive the process. The workers of one host may share it.
    ///
    /// ```
    /// use onward_worker::Process;
    ///
    /// let folder = std::env::temp_dir().join(format!("crashes-{}", std::process::id()));
    /// let process = Process::recording_in(&folder)?;
    /// assert!(folder.is_dir());
    /// # drop(process);
    /// # std::fs::remove_dir(folder)?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the folder cannot be made or read.
    pub fn recording_in(folder: &Path) -> io::Result<Self> {
        Ok(Self(Arc::new(Inner { crashes: Some(Crashes::in_folder(folder)?), ..Inner::default() })))
    }

    /// Whether it knows which messages ran when a process died.
    pub(crate) fn has_records(&self) -> bool {
        self.0.crashes.is_some()
    }

    /// What is known against a message.
    pub(crate) fn suspect(&self, queue: &str, identity: &str) -> Option<Suspect> {
        self.0.crashes.as_ref()?.suspect(queue, identity)
    }

    /// Writes down that a message runs, until the value is dropped.
    pub(crate) fn running(&self, queue: &str, identity: &str, is_alone: bool) -> Option<Running> {
        self.0.crashes.as_ref().map(|crashes| crashes.running(queue, identity, is_alone))
    }

    /// A worker begins.
    pub(crate) fn join(&self, finished: &Arc<Finished>, deletes: &Arc<Lane>) {
        let mut all = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, _)| other.strong_count() > 0);
        all.push((Arc::downgrade(finished), Arc::downgrade(deletes)));
    }

    /// Waits until nothing is alone.
    pub(crate) async fn beside(&self) -> RwLockReadGuard<'_, ()> {
        self.0.alone.read().await
    }

    /// Messages were received and are being sorted, until the value is dropped.
    pub(crate) fn sorting(&self) -> Sorting<'_> {
        self.0.sorting.fetch_add(1, Ordering::Relaxed);
        Sorting(&self.0)
    }

    /// Waits until nothing else is under way, and keeps all else from beginning. A kill would cost a message that is being sent anew one
    /// of its last receives, and would repeat what is done and not deleted.
    pub(crate) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = loop {
            // To send a message anew may take long in an outage, and the others go on meanwhile.
            self.all_sorted().await;
            let alone = self.0.alone.write().await;
            if self.0.sorting.load(Ordering::Relaxed) == 0 {
                break alone;
            }
        };
        let all = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (finished, deletes) in all.iter().filter_map(|(a, b)| Some((a.upgrade()?, b.upgrade()?))) {
            finished.fewer_in_doubt_than(1, || deletes.hurry()).await;
        }
        alone
    }

    async fn all_sorted(&self) {
        loop {
            let sorted = self.0.sorted.notified();
            if self.0.sorting.load(Ordering::Relaxed) == 0 {
                return;
            }
            sorted.await;
        }
    }

    /// A suspicious message has come.
    pub(crate) fn alarm(&self) {
        self.0.suspicious.fetch_add(1, Ordering::Relaxed);
    }

    /// It is gone.
    pub(crate) fn all_clear(&self) {
        if self.0.suspicious.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.calm.notify_waiters();
        }
    }

    /// Whether a suspicious message is here.
    pub(crate) fn is_careful(&self) -> bool {
        self.0.suspicious.load(Ordering::Relaxed) > 0
    }

    /// Completes when the last suspicious message is gone.
    pub(crate) fn calm(&self) -> Notified<'_> {
        self.0.calm.notified()
    }
}

/// A receive that is being sorted.
pub(crate) struct Sorting<'a>(&'a Inner);

impl Drop for Sorting<'_> {
    fn drop(&mut self) {
        if self.0.sorting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.sorted.notify_waiters();
        }
    }
}
