//! The process: its exit code, its output, and its signals.

pub(crate) mod exit;
#[cfg(windows)]
pub(crate) mod scm;
pub(crate) mod signal;
pub(crate) mod terminal;
