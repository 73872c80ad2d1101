//! What PostgreSQL's errors mean, and where in a script they are.

use std::ops::Range;
use std::time::Duration;

use onward_script::{Script, statements};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::script::reset_after;
use super::url::PostgresUrl;
use crate::error::{Error, ErrorKind, ServerError, StepError, TransactionEnd, causes, without_fault};
use crate::journal::JOURNAL;

/// The error for a failure outside a script.
pub(super) fn unexpected(error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        let reason = causes(&error);
        let help = "check that the server runs, then run the command again";
        return Error::new(ErrorKind::Unreachable, format!("the connection ended: {reason}"), help);
    };
    let message = format!("{} ({})", db.message(), db.code().code());
    if *db.code() == SqlState::INSUFFICIENT_PRIVILEGE {
        let help = format!(
            "grant the role its rights: SELECT on {JOURNAL} to serve, all rights on the schema to migrate"
        );
        return Error::new(ErrorKind::Permission, message, help);
    }
    let help = without_fault(db.code().code()).or(db.hint()).unwrap_or("see the server's log");
    Error::new(ErrorKind::Database, message, help)
}

pub(super) fn connection_error(url: &PostgresUrl, error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        let reason = causes(error);
        if let Some(help) = tls_remedy(&reason) {
            return Error::new(ErrorKind::Configuration, format!("{url} cannot be used: {reason}"), help);
        }
        let message = format!("{url} cannot be reached: {reason}");
        let help = "check that the server runs and that DATABASE_URL names it; in development without DATABASE_URL the app \
                    starts a private one";
        return Error::new(ErrorKind::Unreachable, message, help);
    };
    let message = format!("{url} refuses the connection: {}", db.message());
    let (kind, help) = match db.code() {
        code if *code == SqlState::INVALID_PASSWORD
            || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
        {
            (ErrorKind::Credentials, "correct user and password in DATABASE_URL")
        }
        code if *code == SqlState::INVALID_CATALOG_NAME => {
            (ErrorKind::MissingDatabase, "create the database, or correct its name in DATABASE_URL")
        }
        code if comes_back(code) => {
            (ErrorKind::Unavailable, "try again when the server has started, or has connections free")
        }
        _ => (ErrorKind::Unreachable, "see the server's log"),
    };
    Error::new(kind, message, help)
}

/// What to do about an error of TLS.
fn tls_remedy(reason: &str) -> Option<&'static str> {
    match () {
        () if reason.contains("does not support TLS") => Some(
            "turn TLS on at the server (`ssl = on`), or write `sslmode=disable` if the network is trusted",
        ),
        // Unlike libpq, which takes it.
        () if reason.contains("CaUsedAsEndEntity") => Some(
            "give the server a certificate that an authority has signed: one that is its own authority is not taken as that of a server",
        ),
        () if reason.contains("certificate") => Some(
            "name the authority of the server's certificate in `sslrootcert`, and the host that the certificate is for in DATABASE_URL",
        ),
        () => None,
    }
}

/// The error for a connection pool in front of the server.
pub(super) fn pooled(url: &PostgresUrl) -> Error {
    let message = format!(
        "{url} is a connection pool, and a migration needs a session of the server: its lock and its settings belong to one"
    );
    let help = "name the server itself in DATABASE_URL for `app migrate`, `app adopt` and `app rebuild`; `app serve` may use \
                the pool";
    Error::new(ErrorKind::Configuration, message, help)
}

/// Whether what answers knows no settings at the start of a session, as a connection pool such as PgBouncer.
/// <https://www.pgbouncer.org/config.html#ignore_startup_parameters>
pub(super) fn takes_no_options(error: &tokio_postgres::Error) -> bool {
    let is_about_options = |db: &DbError| db.message().contains("startup parameter");
    error.as_db_error().is_some_and(is_about_options)
}

/// Whether the server refuses a connection for the moment only: it starts, recovers, stops for a restart, or has too many.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn comes_back(code: &SqlState) -> bool {
    [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
    ]
    .contains(code)
}

/// The error for a server that accepts a connection and does not answer.
pub(super) fn silent(url: &PostgresUrl, limit: Duration) -> Error {
    let message = format!("{url} accepts the connection but does not answer within {limit:?}");
    let help = "check that DATABASE_URL names a PostgreSQL server, and that this server or the proxy before it is healthy";
    Error::new(ErrorKind::Unreachable, message, help)
}

fn server_error(db: &DbError) -> ServerError {
    let context = match db.position() {
        Some(ErrorPosition::Internal { query, .. }) => Some(format!("in `{query}`")),
        _ => None,
    };
    ServerError {
        code: db.code().code().to_owned(),
        message: db.message().to_owned(),
        detail: db.detail().map(str::to_owned),
        hint: db.hint().map(str::to_owned),
        context: db.where_().map(str::to_owned).or(context),
        ..ServerError::default()
    }
}

pub(super) fn journal_error(error: &tokio_postgres::Error) -> StepError {
    match error.as_db_error() {
        Some(db) => StepError::Server(Box::new(ServerError { in_journal: true, ..server_error(db) })),
        None => StepError::Lost(causes(error)),
    }
}

/// Where a failure belongs that comes after the last statement of a script.
pub(super) const AT_COMMIT: &str = "at the commit, where deferred constraints are checked";

/// Finds the place in the script by the server's position, which counts characters of the whole query. Without a position
/// it uses the number of statements that were complete before.
pub(super) fn step_error(
    script: &Script,
    prefix: usize,
    done: Option<usize>,
    error: &tokio_postgres::Error,
    end: TransactionEnd,
) -> StepError {
    let Some(db) = error.as_db_error() else { return StepError::Lost(causes(error)) };
    let text = script.text();
    let mut server = ServerError { end, ..server_error(db) };
    let spans: Vec<Range<usize>> = statements(text).iter().map(onward_script::Statement::span).collect();
    // After the script come the resets and the journal row; a failure after them is a failure of the commit.
    let behind = reset_after(script).matches(';').count() + 1;
    let in_journal = |done: usize| (spans.len()..spans.len() + behind).contains(&done);
    let in_script = |offset: &usize| spans.last().is_some_and(|last| *offset <= last.end);
    let position = match db.position() {
        Some(ErrorPosition::Original(position)) => (*position as usize).checked_sub(1 + prefix),
        _ => None,
    };
    let offset = position.and_then(|characters| text.char_indices().nth(characters));
    if let Some((offset, _)) = offset.filter(|(offset, _)| in_script(offset)) {
        server.position = Some(offset);
        server.statement = spans.iter().rfind(|span| span.start <= offset).cloned();
    } else if let Some(done) = done {
        server.statement = spans.get(done).cloned();
        server.in_journal = in_journal(done);
        if server.statement.is_none() && !server.in_journal {
            server.context = Some(AT_COMMIT.to_owned());
        }
    }
    StepError::Server(Box::new(server))
}
