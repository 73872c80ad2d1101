//! What an error of a database says, and whether it can pass.

use std::error::Error;
use std::iter::successors;

use tokio_postgres::error::DbError;

/// An error with its causes, as [`onward_worker::causes`], in which an error of PostgreSQL names its SQLSTATE, its table, column and
/// constraint. It leaves out the detail, which quotes rows.
///
/// ```
/// let error = "x".parse::<i32>().unwrap_err();
/// assert_eq!(onward::causes(&error), "invalid digit found in string");
/// ```
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let Some(server) = find::<DbError>(error) else { return onward_worker::causes(error) };
    let mut texts = Vec::new();
    for cause in chain(error) {
        if cause.is::<DbError>() {
            texts.push(said(server));
            break;
        }
        // The driver says only that there is an error of the server.
        if !cause.is::<tokio_postgres::Error>() {
            texts.push(cause.to_string());
        }
    }
    texts.join(": ")
}

fn said(server: &DbError) -> String {
    let mut places = vec![format!("SQLSTATE {}", server.code().code())];
    let named = [
        ("table", server.table()),
        ("column", server.column()),
        ("constraint", server.constraint()),
        ("type", server.datatype()),
    ];
    places.extend(named.into_iter().filter_map(|(kind, name)| Some(format!("{kind} {}", name?))));
    format!("{}: {} ({})", server.severity(), server.message(), places.join(", "))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// Whether an error of the server is among the causes, which [`causes`] then tells in full.
pub(crate) fn names_place(error: &(dyn Error + 'static)) -> bool {
    find::<DbError>(error).is_some()
}

/// Whether the database can never take the values of a statement.
pub(crate) fn is_permanent(error: &(dyn Error + 'static)) -> bool {
    let of_postgres = || {
        find::<DbError>(error)
            .is_some_and(|server| is_permanent_in_postgres(server.code().code(), server.message()))
    };
    of_postgres() || is_permanent_in_sql_server(error)
}

/// Class 22, data exceptions, a missing value, and one that is too large for an index or a row. A row that a unique or
/// foreign key or a check refuses today may be right tomorrow.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_permanent_in_postgres(state: &str, message: &str) -> bool {
    // A server that has run out of transaction ids says 54000, too.
    let is_too_large = || message.contains("index row size") || message.contains("row is too big");
    state.starts_with("22") || state == "23502" || state == "54000" && is_too_large()
}

/// The same in SQL Server: a value that overflows, does not convert or is cut off, a missing one, and one that is too large for an
/// index.
/// <https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors>
#[cfg(feature = "sqlserver")]
fn is_permanent_in_sql_server(error: &(dyn Error + 'static)) -> bool {
    const CODES: [u32; 15] =
        [220, 232, 241, 242, 244, 245, 248, 295, 515, 1946, 2628, 8114, 8115, 8134, 8152];
    let code = find::<tiberius::error::Error>(error).and_then(tiberius::error::Error::code);
    code.is_some_and(|code| CODES.contains(&code))
}

#[cfg(not(feature = "sqlserver"))]
fn is_permanent_in_sql_server(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_the_database_never_takes_are_told_from_what_may_pass() {
        for state in ["22021", "22003", "22001", "23502"] {
            assert!(is_permanent_in_postgres(state, ""), "{state}");
        }
        assert!(is_permanent_in_postgres(
            "54000",
            "index row size 2800 exceeds btree version 4 maximum 2704"
        ));
        assert!(!is_permanent_in_postgres("54000", "database is not accepting commands to avoid wraparound"));
        for state in ["23505", "23503", "23514", "40001", "40P01", "53300", "57P01", "42P01", "08006"] {
            assert!(!is_permanent_in_postgres(state, ""), "{state}");
        }
    }
}
