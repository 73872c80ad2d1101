//! Processes one after the other, each of which a message may end, and what they leave to the next one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Monitor, Options, Process, run_in};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;
use crate::support::{Log, SECOND, until_empty};

/// Works a queue until it is empty, in a process that a message with the body `poison` kills after a while and that is started
/// again at once. Returns what was done.
pub(crate) async fn work_in_lives(
    queue: &MemoryQueue,
    is_standard: bool,
    takes: Duration,
    after: Duration,
) -> Log {
    work_until(queue, is_standard, takes, after, None, None).await.0
}

/// The same while nothing can be sent anew until a moment, and with a folder for what runs alone. Returns how often the process
/// died, too.
pub(crate) async fn work_until(
    queue: &MemoryQueue,
    is_standard: bool,
    takes: Duration,
    after: Duration,
    sends_from: Option<Instant>,
    mut records: Option<&mut Records>,
) -> (Log, usize) {
    let (log, mut kills) = (Log::default(), 0);
    while !queue.is_empty() {
        assert!(kills < 60, "the poison is dead by now");
        let process = Faulty { queue: queue.clone(), is_standard, sends_from, ..Faulty::default() };
        let (killed, seen) = (Arc::new(Notify::new()), log.clone());
        let (this, kill) = (process.clone(), killed.clone());
        let handler = move |message: Message| {
            let (this, kill, seen) = (this.clone(), kill.clone(), seen.clone());
            async move {
                this.lives().await;
                if message.body == "poison" {
                    sleep(after).await;
                    this.is_dead.store(true, Ordering::Relaxed);
                    kill.notify_one();
                }
                sleep(takes).await;
                this.lives().await;
                seen.add(&message.body);
                Ok::<_, Failure>(())
            }
        };
        let options = Options { wait: SECOND, ..Options::default() };
        let shared = records.as_mut().map(|records| records.process());
        let (shared, never) = (shared.unwrap_or_default(), std::future::pending());
        tokio::select! {
            ended = run_in(&shared, process.clone(), handler, options, Monitor::default(), never) => panic!("{ended:?}"),
            () = killed.notified() => kills += 1,
            () = until_empty(queue.clone()) => {}
        }
    }
    (log, kills)
}

/// The folder in which processes record what runs alone, as each of them left it. What is left of a dead process in a test still
/// runs, and must not write into the folder of the next one.
pub(crate) struct Records {
    home: tempfile::TempDir,
    lives: usize,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("is made"), lives: 0 }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join(self.lives.to_string())
    }

    /// How many messages are suspects.
    pub(crate) fn len(&self) -> usize {
        let files = std::fs::read_dir(self.folder()).expect("is there");
        files
            .filter(|file| {
                file.as_ref().expect("is read").path().extension().is_some_and(|it| it == "suspect")
            })
            .count()
    }

    /// The next process.
    pub(crate) fn process(&mut self) -> Process {
        let last = self.folder();
        self.lives += 1;
        std::fs::create_dir(self.folder()).expect("is made");
        for file in last.read_dir().into_iter().flatten() {
            let file = file.expect("is read");
            std::fs::copy(file.path(), self.folder().join(file.file_name())).expect("is copied");
        }
        Process::recording_in(&self.folder()).expect("the folder is there")
    }
}

pub(crate) fn bodies_of_dead(queue: &MemoryQueue) -> Vec<String> {
    queue.dead_letters().into_iter().map(|(body, _)| body).collect()
}
