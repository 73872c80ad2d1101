//! Plans and applies an embedded history of SQL scripts: under a lock, with a journal, one script and its
//! journal row at a time.
//!
//! [`migrate`] is the way in; its step order is in `runner.rs`. The plan is a pure function,
//! [`Status::assess`], over what the database says ([`Observed`]) and what the binary holds
//! ([`onward_script::History`]). What differs between databases stands behind [`Engine`].

mod bridge;
mod engine;
mod error;
mod journal;
mod plan;
mod postgres;
mod postgres_error;
#[cfg(feature = "sqlserver")]
mod prints;
mod progress;
#[cfg(feature = "rebuild")]
mod rebuild;
mod runner;
mod session;
#[cfg(feature = "sqlserver")]
mod sqlserver;
#[cfg(feature = "sqlserver")]
mod sqlserver_error;
#[cfg(feature = "sqlserver")]
mod sqlserver_url;
mod state;
mod tls;

pub use engine::{Canceller, Engine, Identity, Observed, ServerError, Step, StepError, Surroundings};
pub use error::{Error, ErrorKind, ScriptFailure};
pub use journal::{JOURNAL, JournalRow, RowState};
pub use plan::{Plan, Transaction};
pub use postgres::Postgres;
pub use progress::Event;
#[cfg(feature = "rebuild")]
pub use rebuild::{Doomed, create, inspect, remove};
pub use runner::{AdoptOptions, Adopted, MigrateOptions, Migrated, adopt, migrate, status};
pub use session::{DatabaseUrl, Session, SessionOptions};
#[cfg(feature = "sqlserver")]
pub use sqlserver::{SqlServer, TdsClient};
#[cfg(feature = "sqlserver")]
pub use sqlserver_url::SqlServerUrl;
pub use state::{Divergence, SchemaState, Status};
pub use tls::{PostgresUrl, TlsMode, tls_connector};
