//! What a worker remembers: nothing of what is over. A million messages, some of which fail, come twice, or are not
//! deleted at the first time, leave no more memory behind than a hundred thousand.
#![cfg(target_os = "linux")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use onward_worker::{Attempts, Death, Failure, Message, Options, Queue, QueueError, Receipt, Refused, run};
use tokio::sync::Notify;

const EARLY: u64 = 200_000;
const ALL: u64 = 1_000_000;

/// A queue that makes its messages as they are asked for.
#[derive(Clone, Default)]
struct Endless(Arc<State>);

#[derive(Default)]
struct State {
    made: AtomicU64,
    calls: AtomicU64,
    /// What was given back, or refused to be deleted.
    again: Mutex<VecDeque<Message>>,
}

impl Endless {
    fn again(&self, Receipt(receipt): &Receipt) {
        let (id, receive_count) = receipt.split_once('/').expect("is one of ours");
        let receive_count = receive_count.parse::<u32>().expect("is one of ours") + 1;
        self.0.again.lock().expect("nobody panics").push_back(message(id, receive_count));
    }
}

fn message(id: &str, receive_count: u32) -> Message {
    let receipt = Receipt(format!("{id}/{receive_count}"));
    Message { id: id.to_owned(), body: id.to_owned(), receive_count, receipt, ..Message::default() }
}

impl Queue for Endless {
    fn name(&self) -> &str {
        "endless"
    }

    fn is_fifo(&self) -> bool {
        false
    }

    async fn receive(&self, max: usize, wait: Duration, _: Duration) -> Result<Vec<Message>, QueueError> {
        let mut received: Vec<_> = {
            let mut again = self.0.again.lock().expect("nobody panics");
            let count = again.len().min(max);
            again.drain(..count).collect()
        };
        while received.len() < max && self.0.made.load(Ordering::Relaxed) < ALL {
            let number = self.0.made.fetch_add(1, Ordering::Relaxed);
            received.push(message(&number.to_string(), 1));
        }
        if received.is_empty() {
            tokio::time::sleep(wait).await;
        }
        Ok(received)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Refused>, QueueError> {
        // Each hundredth call has a receipt that has ended: the message comes back, and must not be handled again.
        if !self.0.calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(100) {
            return Ok(Vec::new());
        }
        self.again(&receipts[0]);
        Ok(vec![Refused { index: 0, reason: "ReceiptHandleIsInvalid".to_owned(), is_permanent: true }])
    }

    async fn change_visibility(&self, entries: &[(Receipt, Duration)]) -> Result<Vec<Refused>, QueueError> {
        entries.iter().for_each(|(receipt, _)| self.again(receipt));
        Ok(Vec::new())
    }

    async fn send_to_dead_letters(&self, _: &Message, _: &Death) -> Result<bool, QueueError> {
        Ok(true)
    }

    async fn renew(&self, _: &Message, _: Attempts, _: Duration) -> Result<bool, QueueError> {
        Ok(false)
    }
}

/// The resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux has it");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_flat_over_a_million_messages() {
    let queue = Endless::default();
    let (done, early) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let all = Arc::new(Notify::new());
    let (count, at_early, finished) = (done.clone(), early.clone(), all.clone());
    let handler = move |message: Message| {
        let (count, at_early, finished) = (count.clone(), at_early.clone(), finished.clone());
        async move {
            if message.attempt == 1 && message.body.ends_with("77") {
                return Err(Failure::retry("once"));
            }
            match count.fetch_add(1, Ordering::Relaxed) + 1 {
                EARLY => at_early.store(resident(), Ordering::Relaxed),
                ALL => finished.notify_one(),
                _ => {}
            }
            Ok(())
        }
    };
    let options = Options { concurrency: 64, wait: Duration::from_millis(50), ..Options::default() };
    let ledger = run(queue, handler, options, all.notified()).await.expect("works");
    assert_eq!(done.load(Ordering::Relaxed), ALL, "each once, however often it came: {ledger:?}");
    assert!(ledger.retried == ALL / 100 && ledger.received > ALL, "{ledger:?}");
    let (early, late) = (early.load(Ordering::Relaxed), resident());
    assert!(late < early + 8 * 1024, "{early} KiB after {EARLY} messages, {late} KiB after {ALL}");
}
