use std::fmt;

use onward_migrate::ErrorKind;
use onward_worker::{Fault, FaultKind};

/// The exit codes, decided here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed; trying again may help.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Configuration = 3,
    /// The schema is not what this binary needs.
    Schema = 4,
    /// The queue cannot be used, or credentials are refused.
    Queue = 5,
    /// The grace ended before every handler did.
    Abandoned = 6,
    /// A second Ctrl-C, or a migration that was told to stop.
    Interrupted = 130,
}

/// Why a command failed, and how it exits.
#[derive(Debug)]
pub(crate) struct Failed {
    pub exit: Exit,
    /// What happened and what to do, as it is shown.
    pub message: String,
}

impl Failed {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self { exit, message: format!("{message}\n  help: {help}") }
    }
}

impl From<onward_migrate::Error> for Failed {
    fn from(error: onward_migrate::Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Configuration => Exit::Configuration,
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Credentials => Exit::Queue,
            ErrorKind::State(_) => Exit::Schema,
            _ => Exit::Failed,
        };
        Self { exit, message: error.to_string() }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        let what = match fault.kind {
            FaultKind::Credentials => "the queue refuses the credentials",
            FaultKind::MissingQueue => "there is no such queue",
            FaultKind::Network => "the queue cannot be reached",
            _ => "the queue cannot be used",
        };
        Self::new(Exit::Queue, format!("{what}: {fault}"), fault.help())
    }
}

#[cfg(feature = "local")]
impl From<onward_local::Error> for Failed {
    fn from(error: onward_local::Error) -> Self {
        Self { exit: Exit::Configuration, message: error.to_string() }
    }
}
