use std::fmt;

use onward_migrate::ErrorKind;
use onward_worker::{QueueError, QueueErrorKind};

use crate::process::program::named;

/// The exit codes, decided here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed; another try may succeed.
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
    /// A second request to stop, or a command other than `serve` that was stopped.
    Interrupted = 130,
}

/// Why a command failed, what to do, and how it exits.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl CommandError {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display, help: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), help: help.to_string() }
    }

    /// The app's own set-up has failed.
    pub(crate) fn of_setup(error: impl fmt::Display) -> Self {
        let message = format!("the app's set-up failed: {error}");
        Self::new(Exit::Failed, message, "correct what the message names, then start the app again")
    }

    /// An error that is a bug in Onward.
    pub(crate) fn fault(error: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, error, "this is a bug in Onward; please report it")
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  help: {}", named(&self.message), named(&self.help))
    }
}

impl std::error::Error for CommandError {}

impl From<onward_migrate::Error> for CommandError {
    fn from(error: onward_migrate::Error) -> Self {
        let exit = match error.kind {
            ErrorKind::Configuration | ErrorKind::MissingDatabase => Exit::Configuration,
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Credentials => Exit::Queue,
            ErrorKind::State(_) | ErrorKind::Drift(_) => Exit::Schema,
            _ => Exit::Failed,
        };
        Self::new(exit, error.report(), error.help)
    }
}

impl From<QueueError> for CommandError {
    fn from(error: QueueError) -> Self {
        let what = match error.kind {
            QueueErrorKind::Credentials => "the queue refuses the credentials",
            QueueErrorKind::MissingQueue => "there is no such queue",
            QueueErrorKind::Network => "the queue cannot be reached",
            _ => "the queue cannot be used",
        };
        Self::new(Exit::Queue, format!("{what}: {error}"), error.help())
    }
}

#[cfg(feature = "local")]
impl From<onward_local::Error> for CommandError {
    fn from(error: onward_local::Error) -> Self {
        Self::new(Exit::Configuration, error.message, error.help)
    }
}
