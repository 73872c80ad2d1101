use std::time::Duration;

use onward_script::Kind;

use crate::journal::RowState;
use crate::step::Step;

/// The parts of the journal's SQL that differ between engines.
pub(crate) struct JournalSql<'a> {
    /// The table, with its schema, quoted.
    pub table: &'a str,
    /// The table of the scripts in `always/`.
    pub always: String,
    /// The expression for the user of the session.
    pub user: &'static str,
    /// Quotes a text as a literal.
    pub literal: fn(&str) -> String,
}

impl JournalSql<'_> {
    /// The statement that writes the row of a script; `duration_ms` is an SQL expression.
    pub(crate) fn insert(&self, step: &Step<'_>, state: RowState, duration_ms: &str) -> String {
        let Self { table, always, user, literal } = self;
        let Step { script, version, journal_name, checksum, applied_on, floor, applier } = step;
        if script.kind == Kind::Seed {
            return String::new();
        }
        if script.kind == Kind::Always {
            return format!(
                "INSERT INTO {always} (name, sha256, version, applied_on, duration_ms, applied_by, host, app_version) VALUES ({}, \
                 '{}', {version}, {}, {duration_ms}, {user}, {}, {});",
                literal(&script.name),
                script.digest,
                literal(applied_on),
                literal(&applier.host),
                literal(&applier.app_version),
            );
        }
        format!(
            "INSERT INTO {table} (version, name, applied_on, checksum, sha256, state, floor, duration_ms, applied_by, \
             host, app_version) VALUES ({}, {}, {}, '{checksum}', '{}', '{}', {floor}, {duration_ms}, {user}, {}, {});",
            version,
            literal(journal_name),
            literal(applied_on),
            script.digest,
            state.as_str(),
            literal(&applier.host),
            literal(&applier.app_version),
        )
    }

    /// The statement that records the end of a no-transaction script.
    pub(crate) fn finish(&self, step: &Step<'_>, took: Duration) -> String {
        format!(
            "UPDATE {} SET state = '{}', duration_ms = {} WHERE version = {};",
            self.table,
            RowState::Applied.as_str(),
            took.as_millis(),
            step.script.number
        )
    }
}
