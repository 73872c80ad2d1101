//! An SQS worker that loses nothing: receive, lease, handle, acknowledge, shut down.
//!
//! [`run`] works a queue until it is told to stop, and returns a [`Ledger`] of what became of every message.
//! It reads no environment unless asked to (`Sqs::from_env`, with the feature `env`), installs no signal handler and holds no global. The queue is anything that implements
//! [`Queue`]: Amazon SQS ([`Sqs`]) or the one in memory ([`MemoryQueue`]) for tests.
//!
//! | what | where |
//! |---|---|
//! | the step order of a worker, and its whole stop | `run.rs` |
//! | which messages are asked for, and when | `intake.rs` |
//! | how many messages are asked for | `capacity.rs` |
//! | that few are asked for after the start, and beside a suspicious message | `slow_start.rs` |
//! | what may run beside a suspicious message, also of another queue | `turn.rs`, `process.rs` |
//! | when nothing is asked for, because everything fails | `breaker.rs` |
//! | one message from its first attempt to its outcome | `delivery.rs`, `attempt.rs` |
//! | when a message is tried again, and when it is given up | `retry.rs`, `budget.rs` |
//! | messages that wait here for their next attempt | `parking.rs` |
//! | the claim on a message, and its extension | `claim.rs`, `leases.rs`, `renewal.rs` |
//! | that no message runs twice at once in this process | `runs.rs`, `finished.rs` |
//! | deletes and returns, in batches | `outcome.rs`, `acknowledge.rs` |
//! | what all of these share | `shared.rs` |
//! | delays that double | `backoff.rs` |
//! | what errors of the queue mean | `error.rs`, `queue/sqs/error.rs` |
//! | what is counted and measured | `ledger.rs`, `durations.rs`, `oldest.rs` |
//! | what a person who watches sees | `monitor.rs`, `activity.rs`, `progress.rs` |
//! | the trace that a message belongs to | `trace.rs` |

mod acknowledge;
mod activity;
mod attempt;
mod backoff;
mod breaker;
mod budget;
mod capacity;
mod causes;
mod claim;
mod crashes;
mod delivery;
mod durations;
mod error;
mod finished;
mod handler;
mod intake;
mod leases;
mod ledger;
mod message;
mod monitor;
mod oldest;
mod options;
mod outcome;
mod parking;
mod process;
mod progress;
mod queue;
mod renewal;
mod retry;
mod run;
mod runs;
mod shared;
mod slow_start;
mod trace;
mod turn;

pub use activity::{Activity, InFlight, WaitsFor};
pub use attempt::handle_once;
pub use breaker::Receiving;
pub use budget::Budget;
pub use causes::causes;
pub use durations::{BUCKETS, Durations};
pub use error::{QueueError, QueueErrorKind};
pub use handler::{Failure, FailureKind, MessageHandler};
pub use ledger::Ledger;
pub use message::{ATTEMPTS, Attribute, AttributeValue, MESSAGE_ID, Message, Receipt};
pub use monitor::Monitor;
pub use options::{Options, OptionsError};
pub use process::Process;
pub use queue::memory::MemoryQueue;
pub use queue::sqs::{self, REJECTED, Sqs};
pub use queue::{Attempts, Death, Queue, Refused, is_fifo};
pub use run::{FLUSH, run, run_in, run_monitored};
pub use trace::TRACEPARENT;

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
