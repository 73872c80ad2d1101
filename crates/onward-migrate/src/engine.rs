use std::fmt;
use std::ops::Range;
use std::time::Duration;

use futures_util::future::BoxFuture;
use onward_script::Script;

use crate::error::Error;
use crate::journal::JournalRow;

/// What the database says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The journal's rows in order; none where the table does not exist.
    pub journal: Option<Vec<JournalRow>>,
    /// Whether the schema holds tables, views or sequences beside the journal.
    pub has_tables: bool,
}

/// Who applies, for the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The host's name.
    pub host: String,
    /// The app's version.
    pub app_version: String,
}

/// One script to run, and what its journal row says.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// The script.
    pub script: &'a Script,
    /// Its name in the journal.
    pub journal_name: String,
    /// refinery's checksum.
    pub checksum: u64,
    /// When it is applied, RFC 3339, UTC.
    pub applied_on: String,
    /// The floor from this script on.
    pub floor: i32,
    /// Who applies it.
    pub identity: &'a Identity,
}

/// What differs between databases. Each method is one exchange; the order of the calls is the runner's.
pub trait Engine: Send {
    /// Reads the journal, or whether the schema is empty; needs no more rights than to read.
    fn observe(&mut self) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Tries to take the migration lock once; if it is taken, says by whom.
    ///
    /// The lock belongs to the session: when the connection ends, however it ends, the lock is free.
    fn try_lock(&mut self) -> impl Future<Output = Result<Result<(), String>, Error>> + Send;

    /// Gives the lock back.
    fn unlock(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Creates the journal if it does not exist.
    fn create_journal(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs one script and writes its journal row, together or not at all.
    fn apply(&mut self, step: &Step<'_>) -> impl Future<Output = Result<Duration, StepError>> + Send;

    /// Runs one script outside a transaction: records that it began, runs it, records that it ended.
    fn apply_alone(&mut self, step: &Step<'_>) -> impl Future<Output = Result<Duration, StepError>> + Send;

    /// Runs several scripts with their rows in one transaction.
    fn apply_together(
        &mut self,
        steps: &[Step<'_>],
    ) -> impl Future<Output = Result<Vec<Duration>, (usize, StepError)>> + Send;

    /// Writes the rows of scripts whose effect is there already, all or none.
    fn record(&mut self, steps: &[Step<'_>]) -> impl Future<Output = Result<(), Error>> + Send;

    /// What a diagnosis wants to know of the session and its server.
    fn surroundings(&mut self) -> impl Future<Output = Result<Surroundings, Error>> + Send;

    /// The messages that the server has sent since the last call: `NOTICE`, `PRINT`.
    fn notices(&mut self) -> Vec<String>;

    /// What ends a statement that the session runs, over a connection of its own; none where the session itself does it,
    /// see [`Engine::abandon`].
    fn canceller(&self) -> Option<Canceller>;

    /// Ends on the server what was begun and is no longer waited for, as well as can be; the session is not used again.
    fn abandon(&mut self) -> impl Future<Output = ()> + Send;
}

/// Ends what a session runs, from outside of it.
pub struct Canceller(Box<Request>);

type Request = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

impl Canceller {
    pub(crate) fn new<Fut>(request: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Box::new(move || Box::pin(request())))
    }

    /// Asks the server. What has ended meanwhile is not hurt.
    pub(crate) async fn cancel(&self) -> Result<(), String> {
        (self.0)().await
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

/// What a session says of itself and its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether the role may create tables in its schema, as a migration does.
    pub may_create: bool,
    /// Whether the connection is encrypted, where the server tells.
    pub is_encrypted: Option<bool>,
    /// The server's clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// How many connections the server takes.
    pub max_connections: u32,
}

/// Why a step failed.
#[derive(Debug)]
pub enum StepError {
    /// The server refused a statement.
    Server(Box<ServerError>),
    /// The connection ended while the step ran, so that its outcome is read from the journal next time.
    Lost(String),
}

/// What a server said of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerError {
    /// SQLSTATE, or SQL Server's error number.
    pub code: String,
    /// The message.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
    /// Where inside a function or procedure it happened.
    pub context: Option<String>,
    /// The exact place: a byte offset into the script's text.
    pub position: Option<usize>,
    /// The statement's or batch's bytes in the script's text.
    pub statement: Option<Range<usize>>,
    /// Which batch of how many, where the script has several.
    pub batch: Option<(usize, usize)>,
    /// Whether the statement was not the script's but the one that writes the journal.
    pub in_journal: bool,
    /// Whether the script ended the migrator's transaction, so that what it did before may stay.
    pub transaction_ended: bool,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
