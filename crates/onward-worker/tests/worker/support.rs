//! The queue and the handlers of these tests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{Budget, MemoryQueue, Options, Queue as _};
use tokio::time::{Instant, sleep};

use crate::faulty::Faulty;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn queue() -> MemoryQueue {
    MemoryQueue::new().max_receive_count(5)
}

pub(crate) fn options() -> Options {
    Options { concurrency: 4, ..Options::default() }
}

/// A budget that a test can use up.
pub(crate) fn short() -> Options {
    Options { budget: Budget { attempts: 5, time: 10 * SECOND }, ..Options::default() }
}

/// Completes when the queue is empty.
pub(crate) async fn until_empty(queue: MemoryQueue) {
    until_left(&queue, 0).await;
}

/// Completes when the queue has no more messages than this.
pub(crate) async fn until_left(queue: &MemoryQueue, messages: usize) {
    while queue.len() > messages {
        sleep(Duration::from_millis(50)).await;
    }
}

/// What handlers have done, in their order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(String, Instant)>>>);

impl Log {
    pub(crate) fn add(&self, body: &str) {
        self.0.lock().expect("nobody panics").push((body.to_owned(), Instant::now()));
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics").iter().map(|(body, _)| body.clone()).collect()
    }

    pub(crate) fn time_of(&self, body: &str) -> Option<Instant> {
        self.0.lock().expect("nobody panics").iter().find(|(known, _)| known == body).map(|(_, at)| *at)
    }
}

/// The same queue without an order, whose deletes are collected, too.
pub(crate) fn standard(queue: &MemoryQueue) -> Faulty {
    Faulty { queue: queue.clone(), is_standard: true, ..Faulty::default() }
}

/// A queue with a message that was received three times, visible again after a while.
pub(crate) async fn often_received(body: &str, again: Duration) -> MemoryQueue {
    let queue = MemoryQueue::new().max_receive_count(5);
    queue.send(body);
    for hidden in [Duration::ZERO, Duration::ZERO, again] {
        assert_eq!(queue.receive(1, Duration::ZERO, hidden).await.expect("works").len(), 1);
    }
    queue
}
