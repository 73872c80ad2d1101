//! A queue that limits how many receives run at once.

use std::sync::Arc;
use std::time::Duration;

use onward_worker::{Attempts, Death, Message, Queue, QueueError, Receipt, Refused, Sqs};
use tokio::sync::Semaphore;

#[derive(Clone)]
pub(crate) struct LimitedReceives {
    queue: Sqs,
    free: Arc<Semaphore>,
}

impl LimitedReceives {
    pub(crate) fn new(queue: Sqs, at_once: usize) -> Self {
        Self { queue, free: Arc::new(Semaphore::new(at_once)) }
    }
}

impl Queue for LimitedReceives {
    fn name(&self) -> &str {
        self.queue.name()
    }

    fn is_fifo(&self) -> bool {
        self.queue.is_fifo()
    }

    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>, QueueError> {
        let _one = self.free.acquire().await.expect("is never closed");
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        self.queue.delete(receipts).await
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        self.queue.change_visibility(entries).await
    }

    async fn send_to_dead_letters(&self, message: &Message, death: &Death) -> Result<bool, QueueError> {
        self.queue.send_to_dead_letters(message, death).await
    }

    async fn renew(
        &self,
        message: &Message,
        attempts: Attempts,
        delay: Duration,
    ) -> Result<bool, QueueError> {
        self.queue.renew(message, attempts, delay).await
    }
}
