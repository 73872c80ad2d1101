//! Where the journal is: where it was made, whatever the role, its `search_path`, or a schema made since.

use super::quote::{literal, quoted};
use crate::error::{Error, ErrorKind};
use crate::journal::JOURNAL;

/// The schema of the journal, quoted for SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub schema: String,
    /// Whether somebody named it. Then other schemas of the database may belong to other apps.
    pub is_named: bool,
}

/// A journal that the database has.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub schema: String,
    pub may_read: bool,
}

/// A query for the named schema or else the one in which unqualified names are created, and beside it each journal of Onward
/// with the right to read it. A named schema that is not there, or is the server's own, is null. The server quotes each name, so that a
/// schema has one spelling: the lock is made of it.
pub(super) fn find(named: Option<&str>) -> String {
    let there = |name: &str| {
        format!(
            "(SELECT nspname FROM pg_namespace WHERE nspname = {} AND nspname <> 'information_schema' AND nspname !~ '^pg_')",
            literal(name)
        )
    };
    let here = named.map_or_else(|| "current_schema()".to_owned(), there);
    // A table of this name that another tool has made does not count, unless it is where ours would be.
    format!(
        "SELECT quote_ident({here}), j.* FROM (SELECT) here LEFT JOIN (\
         SELECT quote_ident(n.nspname), has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {} AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND 5 = (SELECT count(*) \
         FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname IN \
         ('version', 'sha256', 'state', 'floor', 'app_version'))) j ON true ORDER BY 2",
        literal(JOURNAL)
    )
}

/// Decides the place. `named` is a schema that an option names, as the server quotes it, `current` the one in which unqualified names are created,
/// `is_path_set` says that the address sets `search_path`.
pub(super) fn decide(
    named: Option<&str>,
    current: Option<&str>,
    is_path_set: bool,
    found: &[Found],
) -> Result<Place, Error> {
    if let Some(named) = named {
        return Ok(Place { schema: named.to_owned(), is_named: true });
    }
    let nowhere = || {
        let message = "no schema of the search path exists, so there is no place for the journal";
        let help = "create it, correct `search_path` of the role or of DATABASE_URL, or name the schema in JOURNAL_SCHEMA";
        Error::new(ErrorKind::Configuration, message, help)
    };
    if is_path_set {
        let schema = current.ok_or_else(nowhere)?.to_owned();
        return Ok(Place { schema, is_named: true });
    }
    let place = |schema: &str| Ok(Place { schema: schema.to_owned(), is_named: false });
    if let Some(current) = current.filter(|current| found.iter().any(|found| found.schema == **current)) {
        return place(current);
    }
    let readable: Vec<_> = found.iter().filter(|found| found.may_read).cloned().collect();
    match (&readable[..], found) {
        // One that may not be read is not taken for none: the next query says which right is missing.
        ([one], _) | ([], [one]) => place(&one.schema),
        ([], []) => place(current.ok_or_else(nowhere)?),
        _ => {
            let names: Vec<_> = found.iter().map(|found| format!("{}.{JOURNAL}", found.schema)).collect();
            let message = format!("the database has several journals: {}", names.join(", "));
            let help =
                "name the schema of this app's journal in JOURNAL_SCHEMA, or drop the one that is not used";
            Err(Error::new(ErrorKind::Configuration, message, help))
        }
    }
}

/// The named schema cannot hold a journal.
pub(super) fn missing(named: &str) -> Error {
    let message = format!("JOURNAL_SCHEMA is `{named}`, and the database has no such schema for the journal");
    let help = format!("create it (`CREATE SCHEMA {}`), or correct JOURNAL_SCHEMA", quoted(named));
    Error::new(ErrorKind::Configuration, message, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(schema: &str, may_read: bool) -> Found {
        Found { schema: schema.to_owned(), may_read }
    }

    fn decided(
        named: Option<&str>,
        current: Option<&str>,
        is_path_set: bool,
        all: &[Found],
    ) -> Result<(String, bool), ErrorKind> {
        let place = decide(named, current, is_path_set, all).map_err(|error| error.kind)?;
        Ok((place.schema, place.is_named))
    }

    #[test]
    fn the_journal_stays_where_it_was_made() {
        let is = |expected: &str, decided: Result<(String, bool), ErrorKind>| {
            assert_eq!(decided.expect("is decided").0, expected);
        };
        let public = [found("public", true)];
        is("public", decided(None, Some("public"), false, &[]));
        is("public", decided(None, Some("app"), false, &public));
        is("public", decided(None, None, false, &public));
        is("app", decided(None, Some("app"), false, &[found("app", true), found("public", true)]));
        is("shop", decided(None, Some("public"), false, &[found("shop", false)]));
        is("public", decided(None, Some("app"), false, &[found("shop", false), found("public", true)]));
        is("b", decided(None, Some("b"), true, &public));
        is("\"my shop\"", decided(Some("\"my shop\""), Some("public"), false, &public));
    }

    #[test]
    fn what_is_not_clear_is_not_guessed() {
        let two = [found("a", true), found("b", true)];
        for decided in [decided(None, Some("public"), false, &two), decided(None, None, false, &[])] {
            assert!(matches!(decided, Err(ErrorKind::Configuration)), "{decided:?}");
        }
        assert!(decided(Some("a"), None, false, &two).expect("is named").1);
    }
}
