//! What PostgreSQL's errors mean, and where in a script they are.

use std::ops::Range;

use onward_script::{Script, statements};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::engine::{ServerError, StepError};
use crate::error::{Error, ErrorKind};
use crate::journal::JOURNAL;
use crate::session::chain;
use crate::tls::PostgresUrl;

/// What went wrong outside a script.
pub(crate) fn unexpected(error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        let reason = chain(&error);
        let help = "see whether the server runs, then run the command again";
        return Error::new(ErrorKind::Unreachable, format!("the connection ended: {reason}"), help);
    };
    let message = format!("{} ({})", db.message(), db.code().code());
    if *db.code() == SqlState::INSUFFICIENT_PRIVILEGE {
        let help = format!(
            "grant the role what it needs: SELECT on {JOURNAL} to serve, all of the schema to migrate"
        );
        return Error::new(ErrorKind::Permission, message, help);
    }
    let help = db.hint().unwrap_or("see the server's log").to_owned();
    Error::new(ErrorKind::Database, message, help)
}

pub(crate) fn refused(url: &PostgresUrl, error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        let message = format!("{url} cannot be reached: {}", chain(error));
        let help = "see whether the server runs and DATABASE_URL names it; without DATABASE_URL a private one is \
                    started in development";
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
            (ErrorKind::Configuration, "create the database, or correct its name in DATABASE_URL")
        }
        _ => (ErrorKind::Unreachable, "see the server's log"),
    };
    Error::new(kind, message, help)
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

pub(crate) fn journal_error(error: &tokio_postgres::Error) -> StepError {
    match error.as_db_error() {
        Some(db) => StepError::Server(Box::new(ServerError { in_journal: true, ..server_error(db) })),
        None => StepError::Lost(chain(error)),
    }
}

/// Finds the place in the script: from the server's position, a count of characters into the whole query, or
/// else from the number of statements that were done before.
pub(crate) fn step_error(
    script: &Script,
    prefix: usize,
    done: Option<usize>,
    error: &tokio_postgres::Error,
) -> StepError {
    let Some(db) = error.as_db_error() else { return StepError::Lost(chain(error)) };
    let text = script.text();
    let mut server = server_error(db);
    let spans: Vec<Range<usize>> = statements(text).iter().map(onward_script::Statement::span).collect();
    // Behind the script come the resets and the journal row; what fails after them is the commit.
    let behind = crate::postgres::reset_after(script).matches(';').count() + 1;
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
            server.context = Some("at the commit, where deferred constraints are checked".to_owned());
        }
    }
    StepError::Server(Box::new(server))
}
