use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use onward_script::Catalog;

use crate::error::{Error, StepError};
use crate::journal::{AlwaysRow, JournalEntry, Observed};
use crate::step::Step;

/// What differs between databases. Each method is one exchange with the server; the runner decides the order of the calls.
pub trait Engine: Send {
    /// Reads the journal, or whether the schema is empty; needs only the right to read.
    fn observe(&mut self) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Reads the whole journal, in the order of the scripts; empty if there is none.
    fn journal(&mut self) -> impl Future<Output = Result<Vec<JournalEntry>, Error>> + Send;

    /// The answer to a query whose columns are all texts.
    fn texts(&mut self, query: &str) -> impl Future<Output = Result<Vec<Vec<Option<String>>>, Error>> + Send;

    /// Describes the schema; needs only the right to read. Where several apps share the database, it describes the schema of
    /// this one and those that `expected` names.
    fn catalog(&mut self, expected: &Catalog) -> impl Future<Output = Result<Catalog, Error>> + Send;

    /// Tries once to take the migration lock; if another session has it, returns who that is.
    ///
    /// The lock belongs to the session: when the connection ends for any reason, the lock is free.
    fn try_lock(&mut self) -> impl Future<Output = Result<Result<(), String>, Error>> + Send;

    /// Releases the lock.
    fn unlock(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Creates the journal if it does not exist.
    fn create_journal(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the runs of the scripts in `always/`, in order; empty if there is no table of them.
    fn always_rows(&mut self) -> impl Future<Output = Result<Vec<AlwaysRow>, Error>> + Send;

    /// Creates the table of these runs if it does not exist.
    fn create_always_journal(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs one script and writes its journal row, together or not at all.
    fn apply(&mut self, step: &Step<'_>) -> impl Future<Output = Result<Duration, StepError>> + Send;

    /// Runs one script outside a transaction: records that it began, runs it, records that it ended.
    fn apply_alone(&mut self, step: &Step<'_>) -> impl Future<Output = Result<Duration, StepError>> + Send;

    /// Runs several scripts with their rows in one transaction.
    fn apply_together(
        &mut self,
        steps: &[Step<'_>],
    ) -> impl Future<Output = Result<Vec<Duration>, (usize, StepError)>> + Send;

    /// Writes the rows of scripts whose changes the database already contains, all or none.
    fn record(&mut self, steps: &[Step<'_>]) -> impl Future<Output = Result<(), Error>> + Send;

    /// What a diagnosis needs to know about the session and its server.
    fn server_info(&mut self) -> impl Future<Output = Result<ServerInfo, Error>> + Send;

    /// The messages that the server has sent since the last call: `NOTICE`, `PRINT`.
    fn notices(&mut self) -> Vec<String>;

    /// Ends a statement that the session runs, over a second connection. It is `None` if the session does this itself, see
    /// [`Engine::abandon`].
    fn canceller(&self) -> Option<Canceller>;

    /// Ends on the server, as far as possible, what the session has started and nobody waits for. The session is not used
    /// again.
    fn abandon(&mut self) -> impl Future<Output = ()> + Send;
}

/// How to open a session.
///
/// ```
/// use std::time::Duration;
/// use onward_migrate::SessionOptions;
///
/// let lock_timeout = Some(Duration::from_secs(5));
/// let application_name = "shop migrate".to_owned();
/// let options = SessionOptions { application_name, lock_timeout, ..SessionOptions::default() };
/// ```
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// What the server's list of sessions shows.
    pub application_name: String,
    /// How long a statement may wait for a lock of another session; by default what the role or the server says.
    pub lock_timeout: Option<Duration>,
    /// The schema of the journal. By default it is, on PostgreSQL, where a journal is, and else where unqualified names are
    /// created.
    pub journal_schema: Option<String>,
    /// Whether the session only reads, so that it may go through a connection pool such as PgBouncer.
    pub reads_only: bool,
    /// For how long to try again while the server answers [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable); zero tries
    /// once. A server that cannot be reached at all is not waited for, because its address may be wrong.
    pub patience: Duration,
    /// On PostgreSQL, a TLS configuration that a program has already: it decides whom to trust and which certificate to show, in place of
    /// `sslrootcert`, `sslcert` and the verification that `sslmode` asks for. The connection is then encrypted in any case.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// Ends the statement that a session runs, from outside the session.
pub struct Canceller(Box<Request>);

type Request = dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync;

impl Canceller {
    pub(crate) fn new<Fut>(request: impl Fn() -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self(Box::new(move || Box::pin(request())))
    }

    /// Asks the server. If the statement has already ended, nothing happens.
    pub(crate) async fn cancel(&self) -> Result<(), String> {
        (self.0)().await
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

/// What a session knows about itself and its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Whether the role may create tables in its schema, as a migration does.
    pub may_create: bool,
    /// Whether the connection is encrypted, if the server reports it.
    pub is_encrypted: Option<bool>,
    /// The server's clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// How many connections the server accepts.
    pub max_connections: u32,
    /// On PostgreSQL, the indexes that a `CONCURRENTLY` which failed has left behind, each with its schema.
    pub invalid_indexes: Vec<String>,
}
