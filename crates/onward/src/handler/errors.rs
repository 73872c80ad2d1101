//! What an error of a database says, and what it means for the message of the handler that met it.

use std::error::Error;
use std::iter::successors;

use onward_worker::{Failure, FailureKind};
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

/// What an app says of an error that a handler has passed on with `?`; none leaves it to the default.
pub(crate) type Classify = dyn Fn(&Failure) -> Option<FailureKind> + Send + Sync;

/// A failure with the whole reason and, where the handler has left it open, with what becomes of the message.
pub(crate) fn judged(mut failure: Failure, classify: Option<&Classify>) -> Failure {
    if find::<DbError>(failure.error()).is_some() {
        failure.reason = causes(failure.error());
    }
    if !failure.is_decided() {
        let said = classify.and_then(|classify| classify(&failure));
        failure.kind = said.unwrap_or_else(|| default_kind(failure.error()));
    }
    failure
}

/// A message is rejected whose values the database can never take; after any other error it is tried again.
fn default_kind(error: &(dyn Error + 'static)) -> FailureKind {
    let of_postgres = || find::<DbError>(error).is_some_and(|server| is_permanent(server.code().code()));
    if of_postgres() || is_permanent_in_sql_server(error) { FailureKind::Reject } else { FailureKind::Retry }
}

/// Class 22, data exceptions, and a missing value. A row that a unique or foreign key or a check refuses today may be right
/// tomorrow. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn is_permanent(state: &str) -> bool {
    state.starts_with("22") || state == "23502"
}

/// The same in SQL Server: a value that overflows, does not convert or is cut off, and a missing one.
/// <https://learn.microsoft.com/en-us/sql/relational-databases/errors-events/database-engine-events-and-errors>
#[cfg(feature = "sqlserver")]
fn is_permanent_in_sql_server(error: &(dyn Error + 'static)) -> bool {
    const CODES: [u32; 14] = [220, 232, 241, 242, 244, 245, 248, 295, 515, 2628, 8114, 8115, 8134, 8152];
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

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the number is wrong")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn number() -> Result<i32, Failure> {
        Ok("x".parse().map_err(Outer)?)
    }

    #[test]
    fn the_app_decides_what_the_handler_has_left_open() {
        let of_number =
            |failure: &Failure| find::<std::num::ParseIntError>(failure.error()).map(|_| FailureKind::Reject);
        let left_open = || number().expect_err("is no number");
        assert_eq!(left_open().reason, "the number is wrong: invalid digit found in string");
        assert_eq!(judged(left_open(), None).kind, FailureKind::Retry);
        assert_eq!(judged(left_open(), Some(&of_number)).kind, FailureKind::Reject);
        let decided = Failure::retry(left_open().error().to_string());
        assert_eq!(judged(decided, Some(&of_number)).kind, FailureKind::Retry);
    }

    #[test]
    fn any_error_becomes_a_failure() {
        fn boxed() -> Result<(), Failure> {
            Err(Box::<dyn Error + Send + Sync>::from(Outer("x".parse::<i32>().expect_err("is no number"))))?;
            Ok(())
        }
        fn text() -> Result<(), Failure> {
            Err("busy")?;
            Ok(())
        }
        let failure = boxed().expect_err("fails");
        assert_eq!(failure.reason, "the number is wrong: invalid digit found in string");
        assert!(find::<Outer>(failure.error()).is_some());
        assert_eq!(text().expect_err("fails").reason, "busy");
    }

    #[test]
    fn values_that_the_database_never_takes_are_told_from_what_may_pass() {
        for state in ["22021", "22003", "22001", "23502"] {
            assert!(is_permanent(state), "{state}");
        }
        for state in ["23505", "23503", "23514", "40001", "40P01", "53300", "57P01", "42P01", "08006"] {
            assert!(!is_permanent(state), "{state}");
        }
    }
}
