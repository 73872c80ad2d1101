use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::client::QueueClient;
use crate::process::exit::CommandError;

/// For how long SQS hides a letter from others; one that is held for longer is hidden anew before it is over.
pub(super) const HIDDEN: Duration = Duration::from_secs(600);

/// How often it is looked which letters are to be hidden anew.
const LOOK: Duration = Duration::from_secs(60);

/// The letters that a command has received and not yet sent or deleted: hidden from others and from itself, so that each comes once, and
/// given back at its end. SQS hides at most 120,000 messages of a queue, 20,000 of a FIFO queue.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
#[derive(Debug)]
pub(super) struct Held {
    /// Since when each receipt's letter is hidden.
    receipts: HashMap<String, Instant>,
    looked: Instant,
}

impl Default for Held {
    fn default() -> Self {
        Self { receipts: HashMap::new(), looked: Instant::now() }
    }
}

impl Held {
    /// Receipts of letters that were received just now.
    pub(super) fn add(&mut self, receipts: impl IntoIterator<Item = String>) {
        let now = Instant::now();
        self.receipts.extend(receipts.into_iter().map(|receipt| (receipt, now)));
    }

    pub(super) fn holds(&self, receipt: &str) -> bool {
        self.receipts.contains_key(receipt)
    }

    /// One that is a dead letter no more.
    pub(super) fn remove(&mut self, receipt: &str) {
        self.receipts.remove(receipt);
    }

    /// Those whose time is half over at a moment. They count as hidden anew from then on.
    fn due(&mut self, now: Instant) -> Vec<String> {
        if now.saturating_duration_since(self.looked) < LOOK {
            return Vec::new();
        }
        self.looked = now;
        let is_due = |hidden: &Instant| now.saturating_duration_since(*hidden) >= HIDDEN / 2;
        let due = self.receipts.iter_mut().filter(|(_, hidden)| is_due(hidden));
        let renew = |(receipt, hidden): (&String, &mut Instant)| {
            *hidden = now;
            receipt.clone()
        };
        due.map(renew).collect()
    }

    /// Hides anew what would come back soon, and would then be counted twice.
    pub(super) async fn keep(&mut self, queue: &QueueClient, dead: &str) -> Result<(), CommandError> {
        let due = self.due(Instant::now());
        queue.hide(dead, &due, HIDDEN).await
    }

    /// Makes all of them visible, for the next command.
    pub(super) async fn give_back(self, queue: &QueueClient, dead: &str) -> Result<(), CommandError> {
        let receipts: Vec<_> = self.receipts.into_keys().collect();
        queue.give_back(dead, &receipts).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_hidden_anew_when_half_of_its_time_is_over() {
        let mut held = Held::default();
        held.add(["a".to_owned(), "b".to_owned()]);
        held.remove("b");
        let now = Instant::now();
        assert_eq!(held.due(now + HIDDEN / 3), Vec::<String>::new());
        assert_eq!(held.due(now + HIDDEN / 2), ["a"]);
        assert_eq!(held.due(now + HIDDEN * 2 / 3), Vec::<String>::new());
        assert_eq!(held.due(now + HIDDEN), ["a"]);
    }
}
