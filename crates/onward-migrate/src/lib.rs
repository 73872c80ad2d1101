//! Plans and applies an embedded history of SQL scripts: under a lock, with a journal, one script and its journal row at a
//! time.
//!
//! [`migrate`] is the entry; `runner.rs` has its step order. The plan is a pure function, [`Status::assess`], of what the
//! database contains ([`Observed`]) and what the binary holds ([`onward_script::History`]). What differs between databases
//! is behind [`Engine`].
//!
//! | what | where |
//! |---|---|
//! | the step order of a migration, and its stop | `runner.rs` |
//! | the lock, and the wait for it | `lock.rs` |
//! | the six schema states | `state.rs` |
//! | what runs, and which scripts commit together | `plan.rs` |
//! | the journal: its rows, and the statements that write it | `journal.rs`, `step.rs`, `journal_sql.rs` |
//! | taking over an existing database | `adopt.rs` |
//! | the history tables of other tools | `foreign.rs`, `foreign_journal.rs` |
//! | the comparison of a schema with the scripts | `comparison.rs`, `postgres/catalog.sql` |
//! | addresses and TLS | `postgres/url.rs`, `postgres/tls.rs`, `sqlserver/url.rs` |

mod adopt;
mod bridge;
mod comparison;
mod drift;
#[cfg(feature = "rebuild")]
mod drop_target;
mod engine;
mod error;
mod event;
mod foreign;
mod foreign_journal;
mod journal;
mod journal_sql;
mod lock;
mod observation;
mod plan;
mod postgres;
#[cfg(feature = "rebuild")]
mod rebuild;
mod runner;
mod scripts;
mod secrets;
mod session;
#[cfg(feature = "sqlserver")]
mod sqlserver;
mod state;
mod step;

pub use adopt::{AdoptOptions, Adopted, Takeover, Verification, adopt, takeover};
pub use comparison::drift;
pub use drift::Drift;
#[cfg(feature = "rebuild")]
pub use drop_target::DropTarget;
pub use engine::{Canceller, Engine, ServerInfo, SessionOptions};
pub use error::{Error, ErrorKind, ScriptFailure, ServerError, StepError, TransactionEnd};
pub use event::Event;
pub use foreign_journal::ForeignJournal;
pub use journal::{AlwaysRow, JOURNAL, JournalEntry, JournalRow, Observed, RowState};
pub use observation::observe;
pub use onward_script::History;
pub use plan::{Plan, Transaction};
pub use postgres::{Postgres, PostgresUrl, TlsMode, tls_connector};
#[cfg(feature = "rebuild")]
pub use rebuild::{copy, create, end_sessions, inspect, names, remove, replace};
pub use runner::{MigrateOptions, Migrated, migrate, rerun_always, seed, status};
pub use rustls;
pub use scripts::{Scripts, host_name};
pub use session::{DatabaseUrl, Session};
#[cfg(feature = "sqlserver")]
pub use sqlserver::{SqlServer, SqlServerUrl, TdsClient};
pub use state::{Divergence, SchemaState, Status};
pub use step::{Applier, Step};
