//! The process: its exit code, what it writes, the signals it gets.

pub(crate) mod exit;
#[cfg(windows)]
pub(crate) mod scm;
pub(crate) mod signal;
pub(crate) mod terminal;
