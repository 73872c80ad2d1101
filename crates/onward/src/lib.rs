//! The app around embedded SQL scripts and one message handler: command line, configuration, gate and worker.
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     onward::App::new(onward::scripts!(), deliver::setup).handler("deliveries", deliver::deliver).run()
//! }
//! ```

mod app;
mod cli;
mod command;
mod database;
mod environment;
mod exit;
mod extract;
mod gate;
mod handler;
mod health;
mod inbox;
mod layer;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "sqlserver")]
mod mssql_tx;
mod notify;
#[cfg(feature = "otel")]
mod otel;
mod outbox;
mod outbox_rows;
mod pg_tx;
mod queue;
#[cfg(windows)]
mod scm;
mod scripts;
mod serve;
mod settings;
mod signal;
mod telemetry;
mod terminal;
#[cfg(feature = "local")]
pub mod testing;
mod transaction;

pub use app::{App, Setup};
pub use database::{Database, OtherDatabase, PgPool};
#[cfg(feature = "sqlserver")]
pub use database::{MssqlManager, MssqlPool};
pub use extract::{Attempt, Delivery, FromMessage, Json, State};
pub use handler::Handler;
pub use layer::{HandlerError, LimitByKey, LimitedByKey, MessageService};
#[cfg(feature = "sqlserver")]
pub use mssql_tx::MssqlTx;
pub use onward_worker::{Failure, FailureKind, Message, Options};
pub use pg_tx::PgTx;
pub use scripts::Scripts;

#[doc(hidden)]
pub mod __private {
    pub use include_dir;
}
