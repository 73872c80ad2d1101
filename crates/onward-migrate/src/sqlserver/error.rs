//! What SQL Server's errors mean, and where in a script they are.

use std::ops::Range;

use onward_script::Batch;
use tiberius::error::TokenError;

use super::url::SqlServerUrl;
use crate::error::{Error, ErrorKind, ServerError, StepError, TransactionEnd, causes};
use crate::journal::JOURNAL;

/// <https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors>
const PERMISSION_DENIED: &[u32] = &[229, 230, 262, 297, 300];
/// The count of transactions differs after a procedure or `EXEC`; a COMMIT or ROLLBACK without a transaction.
const TRANSACTION_ENDED: &[u32] = &[266, 3902, 3903];
const LOGIN_FAILED: &[u32] = &[18_456, 18_470, 18_487, 18_488];
const CANNOT_OPEN_DATABASE: &[u32] = &[911, 4060];
/// The server, or Azure SQL before it, refuses for the moment only: a failover, a resource limit, a database that wakes up. 4060
/// is in Azure's list, too, and is left out: mostly it is a wrong name.
/// <https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues#transient-fault-error-messages-40197-40613-and-others>
const COMES_BACK: &[u32] = &[
    615, 926, 983, 4221, 6005, 10_928, 10_929, 17_142, 18_401, 40_197, 40_501, 40_540, 40_613, 42_108,
    42_109, 49_918, 49_919, 49_920,
];
/// A database that is to be dropped has sessions.
#[cfg(feature = "rebuild")]
pub(super) const IN_USE: u32 = 3702;

/// The error for a failure outside a script.
pub(super) fn unexpected(error: tiberius::error::Error) -> Error {
    let tiberius::error::Error::Server(server) = &error else {
        let help = "check that the server runs, then run the command again";
        return Error::new(ErrorKind::Unreachable, format!("the connection ended: {}", causes(&error)), help);
    };
    let message = format!("{} ({})", server.message(), server.code());
    if PERMISSION_DENIED.contains(&server.code()) {
        let help = format!(
            "grant the user its rights: SELECT on {JOURNAL} to serve, all rights on the schema to migrate"
        );
        return Error::new(ErrorKind::Permission, message, help);
    }
    Error::new(ErrorKind::Database, message, "see the server's log")
}

pub(super) fn connection_error(url: &SqlServerUrl, error: &tiberius::error::Error) -> Error {
    let (kind, message, help) = match error {
        tiberius::error::Error::Server(server) => {
            let message = format!("{url} refuses the connection: {}", server.message());
            match server.code() {
                code if LOGIN_FAILED.contains(&code) => {
                    (ErrorKind::Credentials, message, "correct user and password in DATABASE_URL")
                }
                code if CANNOT_OPEN_DATABASE.contains(&code) => (
                    ErrorKind::Configuration,
                    message,
                    "create the database, grant the login access to it, or correct its name in DATABASE_URL",
                ),
                code if COMES_BACK.contains(&code) => (
                    ErrorKind::Unavailable,
                    format!("{message} ({code})"),
                    "try again in a minute: the database fails over, wakes up, or has too much to do",
                ),
                _ => (ErrorKind::Unreachable, message, "see the server's log"),
            }
        }
        // The self-signed certificate that a server makes for itself says that it is one of an authority.
        tiberius::error::Error::Tls(reason) if reason.contains("CaUsedAsEndEntity") => (
            ErrorKind::Configuration,
            format!("{url} shows the certificate of an authority as its own, which nobody can verify"),
            "give the server a certificate that an authority has signed, and name this authority with \
             `TrustServerCertificateCA=/path`; on a trusted network `TrustServerCertificate=true` skips the check",
        ),
        tiberius::error::Error::Tls(_) => (
            ErrorKind::Configuration,
            format!("{url} offers no encryption that can be trusted: {}", first_sentence(&causes(error))),
            "name its authority with `TrustServerCertificateCA=/path` in DATABASE_URL; on a trusted network \
             `TrustServerCertificate=true` skips the check",
        ),
        _ => (
            ErrorKind::Unreachable,
            format!("{url} cannot be reached: {}", causes(error)),
            "check that the server runs and that DATABASE_URL names it",
        ),
    };
    Error::new(kind, message, help)
}

/// Leaves out the driver's advice, which is about its own interface.
fn first_sentence(text: &str) -> &str {
    text.split(". ").next().unwrap_or(text)
}

fn server_error(server: &TokenError) -> ServerError {
    ServerError {
        code: server.code().to_string(),
        message: server.message().to_owned(),
        ..ServerError::default()
    }
}

pub(super) fn journal_error(error: tiberius::error::Error) -> StepError {
    match error {
        tiberius::error::Error::Server(server) => {
            StepError::Server(Box::new(ServerError { in_journal: true, ..server_error(&server) }))
        }
        error => StepError::Lost(causes(&error)),
    }
}

/// The error for a script that does not leave its transaction open: a `ROLLBACK` in it, for example in a procedure, ends
/// the transaction.
pub(super) fn left_behind(open: Option<i32>) -> ServerError {
    let message = match open {
        Some(0) => "the script ended the transaction that it ran in, by a COMMIT or ROLLBACK".to_owned(),
        Some(1) => "the script left its transaction in a state that cannot be committed".to_owned(),
        Some(open) => format!("the script left {} transaction(s) open", open - 1),
        None => "the script stopped the session from running statements (SET NOEXEC, PARSEONLY)".to_owned(),
    };
    let end = if open == Some(0) { TransactionEnd::ByScript } else { TransactionEnd::Unknown };
    found_by_us(message, end)
}

/// The error for a session that cannot return to its own user, so it cannot write the journal.
pub(super) fn acts_as_another() -> ServerError {
    let message =
        "the script left the session acting as another user, by EXECUTE AS … WITH NO REVERT or a cookie";
    found_by_us(message.to_owned(), TransactionEnd::Unknown)
}

/// An error that the engine finds in the state of the session.
fn found_by_us(message: String, end: TransactionEnd) -> ServerError {
    ServerError { code: "onward".to_owned(), message, end, ..ServerError::default() }
}

/// Finds the place in the script: SQL Server counts lines from the start of the batch, or of the procedure in which
/// it happened.
pub(super) fn batch_error(
    source: &str,
    batch: &Batch,
    numbered: Option<(usize, usize)>,
    error: tiberius::error::Error,
) -> StepError {
    let tiberius::error::Error::Server(server) = error else { return StepError::Lost(causes(&error)) };
    let text = &source[batch.span.clone()];
    let mut found = ServerError { batch: numbered, ..server_error(&server) };
    if TRANSACTION_ENDED.contains(&server.code()) {
        found.end = TransactionEnd::ByScript;
    }
    let line = usize::try_from(server.line()).unwrap_or(0);
    let in_module = !server.procedure().is_empty() && !defines(text, server.procedure());
    if in_module {
        found.context = Some(format!("in {}, line {line}", server.procedure()));
    }
    // A line that the batch does not have is a line of something that the batch called.
    let in_batch = (1..=text.lines().count()).contains(&line);
    let place = code_from(text, if in_module || !in_batch { 1 } else { line });
    let place = place.start + batch.span.start..place.end + batch.span.start;
    found.position = Some(place.start);
    found.statement = Some(place);
    StepError::Server(Box::new(found))
}

/// An error in the definition of a procedure also names the procedure, but counts from the start of the batch.
fn defines(batch: &str, procedure: &str) -> bool {
    let name = procedure.rsplit('.').next().unwrap_or(procedure).trim_matches(['[', ']']).to_lowercase();
    let mut words = onward_script::lex(batch, onward_script::Dialect::SqlServer).into_iter();
    let create = words.by_ref().find(|token| !token.is_comment());
    let is_definition =
        create.is_some_and(|token| token.is_word(batch, "create") || token.is_word(batch, "alter"));
    is_definition
        && words.take(8).any(|token| token.text(batch).trim_matches(['[', ']', '"']).to_lowercase() == name)
}

/// The first code on a line or below it, to the end of its line: an error is at a statement, not at the comment above it.
fn code_from(batch: &str, line: usize) -> Range<usize> {
    let start: usize = batch.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let tokens = onward_script::lex(batch, onward_script::Dialect::SqlServer);
    let code = tokens.iter().find(|token| !token.is_comment() && token.span.end > start);
    let start = code.map_or(start, |token| token.span.start.max(start));
    let text = batch[start..].lines().next().unwrap_or_default();
    let indent = text.len() - text.trim_start().len();
    start + indent..start + indent + text.trim().len()
}
