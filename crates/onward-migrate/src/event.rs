use std::time::Duration;

/// What happens during a migration, for a display of its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Another migrator has the lock.
    Waiting {
        /// Who has it.
        holder: String,
    },
    /// The plan is made.
    Planned {
        /// How many scripts are to run.
        scripts: usize,
    },
    /// A script begins.
    Started {
        /// The file name.
        file: String,
        /// Its title, if its header has one.
        title: Option<String>,
    },
    /// The server sent a message while a script ran.
    Notice {
        /// The message.
        text: String,
    },
    /// A script and its journal row are committed.
    Applied {
        /// The file name.
        file: String,
        /// How long it took in the database.
        duration: Duration,
    },
}
