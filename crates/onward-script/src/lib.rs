//! The model of a history of SQL scripts: names, order, seal, directives, batches and findings.
//!
//! This crate is pure: text goes in, data comes out. It opens no file, reads no environment and uses no
//! driver, so the build, the command line and the migrator all apply the same rules to a folder.
//!
//! [`check`] is the only entry point. It turns a [`Folder`] into a [`History`] or a list of [`Finding`]s, and
//! [`render`](render::render) turns a finding into text for a person.

mod always;
mod batch;
mod bundle;
mod catalog;
mod check;
mod danger;
mod dialect;
mod digest;
mod directive;
mod finding;
mod folder;
mod history;
pub mod import;
mod lexer;
mod line;
mod lock;
mod name;
mod near;
mod object;
pub mod render;
mod rule;
mod rules;
mod schema_lock;
mod stale;
mod statement;
mod text;
mod tsql;

pub use batch::{Batch, batches};
pub use bundle::{Bundle, BundleError};
pub use catalog::{Catalog, Difference};
pub use check::{CheckOptions, Checked, Known, check};
pub use dialect::Dialect;
pub use digest::Digest;
pub use directive::Directives;
pub use finding::{Finding, Severity, of_program};
pub use folder::{Content, Entry, Folder};
pub use history::{History, Kind, Script};
pub use lexer::{Token, TokenKind, Unclosed, lex};
pub use line::{LineColumn, line_column};
pub use lock::{Lock, LockLine, RULES_VERSION};
pub use name::{
    ALWAYS, FileName, LOCK_FILE, SCHEMA_FILE, SCHEMA_LOCK_FILE, SEEDS, always_name, baseline_name,
    script_name,
};
pub use rule::{RULES, Rule, RuleDoc, rules_markdown};
pub use schema_lock::SchemaLock;
pub use stale::stale;
pub use statement::{Statement, statements};
