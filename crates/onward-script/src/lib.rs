//! What a history of SQL scripts is: names, order, seal, directives, batches and findings.
//!
//! This crate is pure: text goes in, data comes out. It opens no file, reads no environment and knows no
//! driver, so that the build, the command line and the migrator all judge a folder by the same rules.
//!
//! [`check`] is the one entry: a [`Folder`] that somebody has read becomes a [`History`] or a list of
//! [`Finding`]s; [`render`](render::render) turns a finding into what a person reads.

mod batch;
mod bundle;
mod check;
mod directive;
mod finding;
mod folder;
mod history;
mod lexer;
mod line;
mod lock;
mod name;
pub mod render;
mod rule;
mod rules;
mod statement;
mod text;

pub use batch::{Batch, batches};
pub use bundle::{Bundle, BundleError};
pub use check::{Checked, Known, Options, check};
pub use directive::Directives;
pub use finding::{Finding, Severity};
pub use folder::{Content, Entry, Folder};
pub use history::{Dialect, Digest, History, Kind, Script};
pub use lexer::{Token, TokenKind, Unclosed, lex};
pub use line::{LineColumn, line_column};
pub use lock::{Lock, LockLine};
pub use name::{FileName, baseline_name, script_name};
pub use rule::{RULES, Rule, RuleDoc, rules_markdown};
pub use statement::{Statement, statements};
