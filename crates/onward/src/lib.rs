//! The app around embedded SQL scripts and one message handler: command line, configuration, gate and worker.
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     onward::App::new(onward::scripts!(), deliver::setup).queue(DELIVERIES.handler(deliver::deliver)).run()
//! }
//! ```
//!
//! | what | where |
//! |---|---|
//! | the step order of `serve` | `serve/mod.rs` |
//! | queues with the type of their bodies, and what sends to them | `queue/` |
//! | what a handler takes, and what goes around it | `handler/` |
//! | a handler's transaction, the inbox, the outbox | `transaction/`, `inbox/`, `outbox/` |
//! | the copy of a development database before its drafts | `drafts.rs` |
//! | the settings, and the database and queues that they name | `config/` |
//! | exit codes, signals, the output on the terminal | `process/` |
//! | log, metrics, traces | `telemetry/` |
//! | the definitions for systemd, launchd and Windows | `service/` |
//! | what an app's own tests use | `testing/` |
//! | the options of the workers and of the app as flags and variables | `options/` |
//! | `cargo onward`: a new project, and the same for a folder without an app | `tool/` |
//! | the command line | `cli.rs`, `command/` |

mod app;
mod checks;
mod cli;
mod command;
mod config;
#[cfg(feature = "console")]
mod console;
mod database;
#[cfg(feature = "local")]
mod drafts;
mod handler;
mod inbox;
mod letters;
mod options;
mod outbox;
mod process;
mod queue;
mod schedule;
#[cfg(feature = "local")]
mod scratch;
mod scripts;
mod serve;
mod service;
mod telemetry;
#[cfg(feature = "local")]
pub mod testing;
#[cfg(feature = "tool")]
mod tool;
mod transaction;
mod upgrade;

pub use app::App;
/// The router of [`App::routes`].
pub use axum;
/// The arguments of [`App::command`].
pub use clap;
pub use database::errors::causes;
pub use database::{Database, OtherDatabase, PgPool};
#[cfg(feature = "sqlserver")]
pub use database::{MssqlManager, MssqlPool};
pub use handler::batch::Batch;
pub use handler::breaker::{BreakerByKey, BrokenByKey};
pub use handler::envelope::{CloudEvent, EventBridge, RawBody, Sns};
pub use handler::extract::{Attempt, Body, Delivery, FromMessage, Json, State, Stop};
pub use handler::limit::{LimitByKey, LimitedByKey};
pub use handler::service::{HandlerError, MessageService};
pub use handler::work::{Consumer, Setup};
pub use handler::{Handler, Takes};
pub use inbox::Retention;
#[cfg(feature = "local")]
pub use onward_macros::test;
pub use onward_worker::{
    Attribute, AttributeValue, Budget, Failure, FailureKind, MESSAGE_ID, Message, Options,
};
pub use queue::Queue;
pub use queue::outgoing::Outgoing;
pub use queue::producer::{Producer, SendError, Unsent};
pub use scripts::Scripts;
/// The driver of [`PgTx`] and of the connections of [`PgPool`].
pub use tokio_postgres;
#[cfg(feature = "tool")]
pub use tool::cargo_onward;
pub use transaction::postgres::PgTx;
#[cfg(feature = "sqlserver")]
pub use transaction::sqlserver::MssqlTx;

#[doc(hidden)]
pub mod __private {
    pub use include_dir;
}

/// The Rust examples of the README and the book, compiled and run by `cargo test --doc`.
#[cfg(doctest)]
mod book {
    macro_rules! pages {
        ($($name:ident $path:literal),* $(,)?) => {
            $(#[doc = include_str!(concat!("../../../", $path))] struct $name;)*
        };
    }

    pages!(
        Readme "README.md",
        Start "docs/start.md",
        Scripts "docs/scripts.md",
        Handlers "docs/handlers.md",
        Inbox "docs/inbox.md",
        Schedule "docs/schedule.md",
        Commands "docs/commands.md",
        Testing "docs/testing.md",
        Configuration "docs/configuration.md",
        Production "docs/production.md",
        SqlServer "docs/sql-server.md",
        Parts "docs/parts.md",
        Migrating "docs/migrating.md",
    );
}

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
