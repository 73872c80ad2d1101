//! Queues with the type of their bodies, and what sends to them.

pub(crate) mod addresses;
pub(crate) mod entry;
pub(crate) mod outgoing;
pub(crate) mod producer;

use std::fmt;
use std::marker::PhantomData;

/// A queue by its name, and the type of the bodies in it: for the handler of its messages and for all that send to it.
///
/// The name is checked when the program is built.
///
/// ```
/// use onward::{App, Failure, Json, PgTx, Queue, Scripts};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Invoice {
///     order: i64,
/// }
///
/// const ORDERS: Queue<i64> = Queue::new("orders");
/// const INVOICES: Queue<Invoice> = Queue::new("invoices");
///
/// async fn take_order(tx: PgTx, Json(order): Json<i64>) -> Result<(), Failure> {
///     tx.send(&INVOICES, &Invoice { order }).await
/// }
///
/// async fn make_invoice(Json(invoice): Json<Invoice>) -> Result<(), Failure> {
///     println!("invoice for {}", invoice.order);
///     Ok(())
/// }
///
/// fn run(scripts: Scripts) -> std::process::ExitCode {
///     App::new(scripts, |_| async { Ok(()) })
///         .queue(ORDERS.handler(take_order).concurrency(64))
///         .queue(INVOICES.handler(make_invoice))
///         .outbox()
///         .run()
/// }
/// ```
///
/// Another body does not compile:
///
/// ```compile_fail
/// # use onward::{Failure, PgTx, Queue};
/// const ORDERS: Queue<i64> = Queue::new("orders");
/// async fn send(tx: PgTx) -> Result<(), Failure> {
///     tx.send(&ORDERS, &"seven").await
/// }
/// ```
///
/// Nor does a handler of another body:
///
/// ```compile_fail
/// # use onward::{Failure, Json, Queue};
/// const ORDERS: Queue<i64> = Queue::new("orders");
/// async fn print(Json(text): Json<String>) -> Result<(), Failure> {
///     Ok(())
/// }
/// fn consume() -> onward::Consumer<()> {
///     ORDERS.handler(print)
/// }
/// ```
///
/// Nor a name that SQS does not allow:
///
/// ```compile_fail
/// const ORDERS: onward::Queue<i64> = onward::Queue::new("orders of today");
/// ```
pub struct Queue<T> {
    name: &'static str,
    body: PhantomData<fn(T)>,
}

impl<T> Queue<T> {
    /// A queue by its name: up to 80 letters, digits, `-` and `_`, with `.fifo` at the end of a FIFO queue's.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html>
    ///
    /// # Panics
    ///
    /// If SQS allows no queue of this name. In a constant the build fails.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_queue_name(name),
            "SQS allows no queue of this name: up to 80 letters, digits, `-` and `_`, and `.fifo`"
        );
        Self { name, body: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Queue<T> {}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.name).finish()
    }
}

const fn is_queue_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let stem = match bytes {
        [stem @ .., b'.', b'f', b'i', b'f', b'o'] => stem,
        stem => stem,
    };
    let mut at = 0;
    while at < stem.len() {
        if !(stem[at].is_ascii_alphanumeric() || stem[at] == b'-' || stem[at] == b'_') {
            return false;
        }
        at += 1;
    }
    !stem.is_empty() && bytes.len() <= 80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_sqs_allows() {
        for name in ["orders", "orders-2_a.fifo", &"q".repeat(80)] {
            assert!(is_queue_name(name), "{name}");
        }
        for name in ["", ".fifo", "orders.eu", "a b", "https://sqs.local/1/orders", &"q".repeat(81)] {
            assert!(!is_queue_name(name), "{name}");
        }
    }
}
