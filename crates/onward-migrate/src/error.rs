use std::fmt;

use onward_script::{History, Script, line_column};

use crate::engine::{ServerError, StepError};
use crate::state::{Divergence, SchemaState, Status};

/// Why a migration, or the look at a schema, failed: what, and what to do about it.
#[derive(Debug)]
pub struct Error {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What happened, without a full stop.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The kinds of failure, for an exit code.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address of the database is malformed.
    Configuration,
    /// An option asks for something that there is not.
    Usage,
    /// The database cannot be reached, or the connection ended.
    Unreachable,
    /// The database refuses the user.
    Credentials,
    /// The user may not do it.
    Permission,
    /// It was told to stop.
    Interrupted,
    /// Another migrator has the lock for longer than was waited.
    Locked,
    /// The schema state does not allow it.
    State(Box<Status>),
    /// A script failed.
    Script(Box<ScriptFailure>),
    /// The database said something else.
    Database,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: help.into() }
    }

    /// The error for a state that a migration or a worker cannot start from.
    #[must_use]
    pub fn state(status: &Status) -> Self {
        let latest = status.latest;
        let (message, help) = match status.state {
            SchemaState::Unversioned => (
                "the database has tables and no journal, so nobody knows what was applied".to_owned(),
                "if its schema is that of the baseline, record that with `app adopt`; else use an empty \
                 database",
            ),
            SchemaState::Diverged => {
                let list: Vec<_> = status.divergences.iter().map(ToString::to_string).collect();
                let message = format!("the journal contradicts this binary:\n  - {}", list.join("\n  - "));
                let half_done = |divergence: &Divergence| matches!(divergence, Divergence::HalfDone { .. });
                let help = if status.divergences.iter().all(half_done) {
                    "nothing else runs before that is done"
                } else {
                    "deploy the binary that belongs to the database, or restore its scripts"
                };
                (message, help)
            }
            SchemaState::Empty => ("the database is empty".to_owned(), "run `app migrate`"),
            SchemaState::Behind => {
                let count = status.pending.len();
                let applied = status.applied.unwrap_or(0);
                let message = format!(
                    "the database is at script {applied:04}, {count} behind this binary ({latest:04})"
                );
                (message, "run `app migrate`")
            }
            SchemaState::Ahead => {
                let applied = status.applied.unwrap_or(latest);
                let message = format!(
                    "the database is at script {applied:04} and needs a binary that knows {:04}; this one \
                     ends at {latest:04}",
                    status.floor
                );
                (message, "deploy a newer binary")
            }
            SchemaState::Current => ("the schema is current".to_owned(), "nothing is to be done"),
        };
        Self::new(ErrorKind::State(Box::new(status.clone())), message, help)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let ErrorKind::Script(failure) = &self.kind {
            write!(f, "\n{failure}")?;
        }
        write!(f, "\n  help: {}", self.help)
    }
}

impl std::error::Error for Error {}

/// What there is to know of a script that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFailure {
    /// `sql/Script-0007.sql:12:5`.
    pub place: String,
    /// The statement's first lines.
    pub statement: Option<String>,
    /// What the server said.
    pub server: ServerError,
    /// What the database is left with.
    pub outcome: String,
    /// The files that are still to run, the failed one first.
    pub pending: Vec<String>,
}

impl fmt::Display for ScriptFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, statement, server, outcome, pending } = self;
        write!(f, "  --> {place}")?;
        if let Some((batch, of)) = server.batch {
            write!(f, " (batch {batch} of {of})")?;
        }
        for line in statement.iter().flat_map(|statement| statement.lines()) {
            write!(f, "\n   | {line}")?;
        }
        write!(f, "\n  server: {server}")?;
        let more = [("detail", &server.detail), ("hint", &server.hint), ("context", &server.context)];
        for (name, text) in more.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            write!(f, "\n  {name}: {}", text.replace('\n', "\n    "))?;
        }
        write!(f, "\n  outcome: {outcome}")?;
        write!(f, "\n  still pending: {}", shortened(pending))
    }
}

fn shortened(files: &[String]) -> String {
    match files {
        [first, middle @ .., last] if middle.len() > 3 => {
            format!("{first} to {last} ({} scripts)", files.len())
        }
        files => files.join(", "),
    }
}

/// How many lines of a failed statement are shown.
const STATEMENT_LINES: usize = 6;

/// Puts what a server said into the words of the script's author.
pub(crate) fn script_failed(
    history: &History,
    script: &Script,
    server: ServerError,
    outcome: String,
    pending: Vec<String>,
) -> Error {
    let text = script.text();
    let offset = server.position.or(server.statement.as_ref().map(|span| span.start));
    let path = format!("{}/{}", history.folder, script.file_name());
    let place = match offset {
        Some(offset) if !server.in_journal => format!("{path}:{}", line_column(text, offset)),
        _ => path,
    };
    let statement = server.statement.clone().and_then(|span| text.get(span)).map(|statement| {
        let mut lines: Vec<_> = statement.lines().take(STATEMENT_LINES).collect();
        if statement.lines().count() > STATEMENT_LINES {
            lines.push("…");
        }
        lines.join("\n")
    });
    let message = if server.in_journal {
        format!("{} ran, and its journal row could not be written", script.file_name())
    } else {
        format!("{} failed", script.file_name())
    };
    let version = script.number;
    let help = if script.directives.no_transaction {
        format!(
            "undo what it left behind, run `DELETE FROM schema_journal WHERE version = {version} AND state = \
             'started'`, correct the script, rebuild, and run `app migrate` again"
        )
    } else if let Some(help) = without_fault(&server.code) {
        format!("nothing is lost, and the script is not at fault: {help}, then run `app migrate` again")
    } else if script.sealed {
        "nothing is lost: correct the data or the rights that it stumbles over and run `app migrate` again; \
         if the script itself is wrong, unseal it as long as no database has it, then rebuild"
            .to_owned()
    } else {
        "nothing is lost: correct the script, rebuild, and run `app migrate` again".to_owned()
    };
    let failure = ScriptFailure { place, statement, server, outcome, pending };
    Error::new(ErrorKind::Script(Box::new(failure)), message, help)
}

/// What helps where it is the server that could not go on.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>,
/// <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>
fn without_fault(code: &str) -> Option<&'static str> {
    match code {
        "53100" | "1101" | "1105" => Some("make room on the server's disk"),
        "9002" => Some("make room for the database's transaction log, or back it up"),
        "53200" | "1204" => {
            Some("raise the server's limit (see its message), or do without `--single-transaction`")
        }
        "55P03" | "1222" => Some("wait until nobody holds the lock that it needs, or raise `--lock-timeout`"),
        "57014" => Some("see who cancelled it, or which `statement_timeout` it has"),
        "40P01" | "1205" => Some("see who else changes the schema at the same time"),
        _ => None,
    }
}

/// The connection ended in the middle of a script.
pub(crate) fn connection_lost(script: &Script, reason: &str) -> Error {
    let message = format!("the connection ended while {} ran: {reason}", script.file_name());
    let help = "the database has rolled the script back, or has committed it whole: run `app status`, then \
                `app migrate` again";
    Error::new(ErrorKind::Unreachable, message, help)
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Lost(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StepError {}
