//! An SQS worker that loses nothing: receive, lease, handle, acknowledge, shut down.
//!
//! [`run`] works a queue until it is told to stop, and returns a [`Ledger`] of what became of every message.
//! It reads no environment, installs no signal handler and holds no global; the queue is anything that
//! implements [`Queue`]: Amazon SQS ([`Sqs`]) or the one in memory ([`MemoryQueue`]) for tests.
//!
//! | what | where |
//! |---|---|
//! | which messages are asked for, and when | `intake.rs` |
//! | how many messages are asked for | `capacity.rs` |
//! | when nothing is asked for, because everything fails | `breaker.rs` |
//! | how long a message stays ours | `lease.rs` |
//! | one message from handler to outcome | `delivery.rs` |
//! | deletes and retries, by tens | `acknowledge.rs` |
//! | the whole stop, in order | `shutdown.rs` |
//! | what errors of the queue mean | `fault.rs` |
//! | what is counted | `ledger.rs` |
//! | the trace that a message belongs to | `trace.rs` |

mod acknowledge;
mod breaker;
mod capacity;
mod delivery;
mod fault;
mod intake;
mod lease;
mod ledger;
mod monitor;
mod options;
mod queue;
mod shutdown;
mod trace;

pub use delivery::{Failure, FailureKind, Handler};
pub use fault::{Fault, FaultKind};
pub use ledger::Ledger;
pub use monitor::Monitor;
pub use options::{Options, OptionsError};
pub use queue::memory::MemoryQueue;
pub use queue::sqs::{REJECTED, Sqs};
pub use queue::{Message, Queue, Receipt, Refused, is_fifo};
pub use shutdown::{run, run_monitored};
pub use trace::TRACEPARENT;
