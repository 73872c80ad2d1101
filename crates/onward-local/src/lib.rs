//! The services of a developer's machine, which production never has: a private PostgreSQL, an SQS-compatible
//! queue in the process, and a stub of an external HTTP service.

mod echo;
mod error;
mod loopback;
mod postgres;
mod sqs;

pub use echo::Echo;
pub use error::Error;
pub use postgres::{PrivatePostgres, find_binaries};
pub use sqs::{LocalQueue, QUEUE_PORT};
