use std::fmt;
use std::ops::Range;

use onward_script::{History, Script, always_name, line_column};

use crate::drift::Drift;
use crate::journal::JOURNAL;
use crate::secrets::masked;
use crate::state::{Divergence, SchemaState, Status};

/// Why a migration or a check of the schema failed: what happened, and what to do.
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
    /// The server has no database of that name.
    MissingDatabase,
    /// An option asks for something that does not exist.
    Usage,
    /// The database cannot be reached, or the connection ended.
    Unreachable,
    /// The server answers that it will accept connections later: it starts, fails over, or has too many at present.
    Unavailable,
    /// The database refuses the user.
    Credentials,
    /// The user does not have the right to do it.
    Permission,
    /// A request to stop ended the migration.
    Interrupted,
    /// Another migrator held the lock for longer than the wait.
    Locked,
    /// The schema state does not allow it.
    State(Box<Status>),
    /// The database has another schema than the scripts make.
    Drift(Box<Drift>),
    /// A script failed.
    Script(Box<ScriptFailure>),
    /// Another error of the database.
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
            SchemaState::Unversioned if !status.foreign.is_empty() => {
                let tools: Vec<_> = status.foreign.iter().map(ToString::to_string).collect();
                let message =
                    format!("the database has no journal; it was migrated by {}", tools.join(" and by "));
                (message, "take it over with `app adopt --from auto`, or use an empty database")
            }
            SchemaState::Unversioned => (
                "the database has tables and no journal, so it is unknown which scripts were applied"
                    .to_owned(),
                "if its schema equals the baseline, record that with `app adopt`; otherwise use an empty \
                 database",
            ),
            SchemaState::Diverged => {
                let list: Vec<_> = status.divergences.iter().map(ToString::to_string).collect();
                let message = format!("the journal contradicts this binary:\n  - {}", list.join("\n  - "));
                let half_done = |divergence: &Divergence| matches!(divergence, Divergence::HalfDone { .. });
                let help = if status.divergences.iter().all(half_done) {
                    "do that first: before that, nothing else runs"
                } else {
                    "deploy the binary that belongs to the database, or restore its scripts"
                };
                (message, help)
            }
            SchemaState::Empty => ("the database is empty".to_owned(), "run `app migrate`"),
            SchemaState::Behind => {
                let count = status.pending.len();
                let applied = status.applied.unwrap_or(0);
                let message = if count == 0 {
                    let always: Vec<_> = status.always.iter().map(|name| always_name(name)).collect();
                    format!("{} of this binary have not run on the database", always.join(", "))
                } else {
                    format!(
                        "the database is at script {applied:04}, {count} behind this binary ({latest:04})"
                    )
                };
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
            SchemaState::Current => ("the schema is current".to_owned(), "there is nothing to do"),
        };
        Self::new(ErrorKind::State(Box::new(status.clone())), message, help)
    }
}

impl Error {
    /// What happened, with the report of a failed script, but without the help.
    #[must_use]
    pub fn report(&self) -> String {
        match &self.kind {
            ErrorKind::Script(failure) => format!("{}\n{failure}", self.message),
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  help: {}", self.report(), self.help)
    }
}

impl std::error::Error for Error {}

/// Why a step failed.
#[derive(Debug)]
pub enum StepError {
    /// The server refused a statement.
    Server(Box<ServerError>),
    /// The connection ended while the step ran. The next run reads the outcome from the journal.
    Lost(String),
}

/// The error of a server about a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerError {
    /// SQLSTATE, or SQL Server's error number.
    pub code: String,
    /// The message.
    pub message: String,
    /// The details.
    pub detail: Option<String>,
    /// The advice of the server.
    pub hint: Option<String>,
    /// Where inside a function or procedure it happened.
    pub context: Option<String>,
    /// The exact place: a byte offset into the script's text.
    pub position: Option<usize>,
    /// The bytes of the statement or batch in the script's text.
    pub statement: Option<Range<usize>>,
    /// The number of the batch and of all batches, if the script has several.
    pub batch: Option<(usize, usize)>,
    /// Whether the statement is the one that writes the journal, not one of the script.
    pub in_journal: bool,
    /// What became of the transaction.
    pub end: TransactionEnd,
}

impl ServerError {
    /// Without the passwords that the server quotes from the script.
    fn masked(self) -> Self {
        let all = |text: Option<String>| text.map(|text| masked(&text));
        Self {
            message: masked(&self.message),
            detail: all(self.detail),
            hint: all(self.hint),
            context: all(self.context),
            ..self
        }
    }
}

/// What became of the transaction of a script that failed, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TransactionEnd {
    /// The server has rolled it back.
    RolledBack,
    /// The script ended it, so its changes before and after that may stay.
    ByScript,
    /// The server did not say.
    #[default]
    Unknown,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
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

/// The report of a failed script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFailure {
    /// `sql/Script-0007.sql:12:5`.
    pub place: String,
    /// The statement's first lines.
    pub statement: Option<String>,
    /// The server's error.
    pub server: ServerError,
    /// The state in which the failure left the database.
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

/// Describes a server's error by its place in the script.
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
        masked(&lines.join("\n"))
    });
    let message = if server.in_journal {
        format!("{} ran, but its journal row could not be written", script.file_name())
    } else {
        format!("{} failed", script.file_name())
    };
    let version = script.number;
    let help = if let ("25006", Some(help)) = (server.code.as_str(), without_fault(&server.code)) {
        format!("nothing was applied: {help}, then run `app migrate` again")
    } else if script.directives.no_transaction {
        format!(
            "undo what it left behind, run `DELETE FROM schema_journal WHERE version = {version} AND state = \
             'started'`, correct the script, rebuild, and run `app migrate` again"
        )
    } else if server.end == TransactionEnd::ByScript {
        "undo what it left behind, take COMMIT and ROLLBACK out of the script, rebuild, and run `app migrate` again"
            .to_owned()
    } else if server.end != TransactionEnd::RolledBack {
        "run `app status`: if the script is still pending, run `app migrate` again".to_owned()
    } else if let Some(help) = advice(&server) {
        format!("nothing is lost: {help}, rebuild, and run `app migrate` again")
    } else if let Some(help) = without_fault(&server.code) {
        format!("nothing is lost, and the script is not at fault: {help}, then run `app migrate` again")
    } else if script.sealed {
        "nothing is lost: correct the data or the rights that made it fail, and run `app migrate` again; \
         if the script itself is wrong and no database has it, unseal and correct it, then rebuild"
            .to_owned()
    } else {
        "nothing is lost: correct the script, rebuild, and run `app migrate` again".to_owned()
    };
    let failure = ScriptFailure { place, statement, server: server.masked(), outcome, pending };
    Error::new(ErrorKind::Script(Box::new(failure)), message, help)
}

/// The remedy for an error of PostgreSQL that has one.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn advice(server: &ServerError) -> Option<&'static str> {
    let says = |text: &str| server.message.contains(text);
    match server.code.as_str() {
        "25001" => {
            Some("put the statement into a script of its own that begins with `-- onward: no-transaction`")
        }
        "2D000" => Some(
            "a procedure or DO block that commits runs only in a script of its own that begins with `-- onward: no-transaction`",
        ),
        "55P04" => Some(
            "use the new value of the enum in the next script, because it cannot be used before it commits",
        ),
        "42710" if says("role \"") => Some(
            "make the role only where it is missing, in a DO block that asks pg_roles, because it belongs to the server and not to the database",
        ),
        "55006" if says("pending trigger events") => {
            Some("move the ALTER TABLE into the next script, because rows changed before it in this one")
        }
        "42704" if says("configuration parameter") => {
            Some("remove the line that sets it: the script comes from a dump of a newer server")
        }
        "42P06" if says("\"public\"") => Some("remove `CREATE SCHEMA public`, which every database has"),
        _ => None,
    }
}

/// The remedy for a statement that was cancelled.
pub(crate) const WHO_CANCELLED: &str = "see who cancelled it, or which `statement_timeout` it has";

/// The remedy for an error that the server caused, not the script.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>,
/// <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>
pub(crate) fn without_fault(code: &str) -> Option<&'static str> {
    match code {
        "53100" | "1101" | "1105" => Some("free space on the server's disk"),
        "9002" => Some("free space for the database's transaction log, or back it up"),
        "53200" | "1204" => {
            Some("raise the server's limit (see its message), or leave out `--single-transaction`")
        }
        "55P03" | "1222" => {
            Some("wait until no session holds the lock that it needs, or raise `--lock-timeout`")
        }
        "55006" => Some("end the sessions that use what it changes"),
        "25006" => Some(
            "name the primary server in DATABASE_URL, because this one only reads (a standby, or read-only)",
        ),
        "57014" => Some(WHO_CANCELLED),
        "40P01" | "1205" => Some("see who else changes the schema at the same time"),
        _ => None,
    }
}

/// The error for a connection that ended in the middle of a script.
pub(crate) fn connection_lost(script: &Script, reason: &str) -> Error {
    let message = format!("the connection ended while {} ran: {reason}", script.file_name());
    let help = "the database has rolled the script back, or has committed it whole: run `app status`, then \
                `app migrate` again";
    Error::new(ErrorKind::Unreachable, message, help)
}

/// The error for an address without a database.
pub(crate) fn unnamed() -> Error {
    let help = "name the database in DATABASE_URL";
    Error::new(ErrorKind::Configuration, "DATABASE_URL names no database", help)
}

/// The error for a journal's table that Onward did not make.
pub(crate) fn foreign_journal() -> Error {
    let message = format!("the table {JOURNAL} is not a journal of Onward, or somebody edited it by hand");
    let help = "restore it from a backup; if another tool made it, rename it and run `app adopt`";
    Error::new(ErrorKind::Database, message, help)
}

/// An error with all of its causes on one line.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
