//! The services of a developer's machine, which production never has: a private PostgreSQL, an SQS-compatible
//! queue in the process, and a stub of an external HTTP service.

mod container;
mod echo;
mod error;
mod loopback;
mod postgres;
mod secret;
mod sqlserver;
mod sqs;
mod users;

pub use echo::Echo;
pub use error::Error;
pub use postgres::{PrivatePostgres, find_binaries};
pub use sqlserver::PrivateSqlServer;
pub use sqs::{LocalQueue, QUEUE_PORT};
