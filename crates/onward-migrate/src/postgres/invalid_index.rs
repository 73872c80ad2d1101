//! Indexes that a `CONCURRENTLY` which failed has left behind: no query uses them, and every write maintains them.
//! <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>

use onward_script::{Dialect, Script, TokenKind, lex};

use crate::error::{ServerError, StepError};

/// An SQL expression: the invalid indexes, as one text with a line for each. An index on a partitioned table is invalid until all
/// partitions have theirs, and one that another session builds is no leftover.
pub(super) const INVALID: &str = "(SELECT string_agg(format('%I.%I', n.nspname, c.relname), E'\\n' ORDER BY n.nspname, c.relname) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT LIKE 'pg\\_%' AND NOT EXISTS (\
     SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid))";

/// The indexes of the expression [`INVALID`].
pub(super) fn of_answer(answer: Option<&str>) -> Vec<String> {
    answer.unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Names what a failed script has left behind, with the remedy.
pub(super) fn blame(error: StepError, before: &[String], after: &[String]) -> StepError {
    let left: Vec<_> = after.iter().filter(|index| !before.contains(index)).cloned().collect();
    match error {
        StepError::Server(mut server) if !left.is_empty() => {
            let remedy = remedy(&left);
            server.hint =
                Some(server.hint.map_or_else(|| remedy.clone(), |hint| format!("{hint}\n{remedy}")));
            StepError::Server(server)
        }
        error => error,
    }
}

/// The error for a script that was content with an invalid index, as `CREATE INDEX CONCURRENTLY IF NOT EXISTS` is.
pub(super) fn refuse(script: &Script, invalid: &[String]) -> Option<StepError> {
    let text = script.text();
    let names: Vec<String> = lex(text, Dialect::Postgres)
        .iter()
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName))
        .map(|token| token.text(text).trim_matches('"').to_lowercase())
        .collect();
    let name = |index: &str| index.rsplit('.').next().unwrap_or(index).trim_matches('"').to_lowercase();
    let named: Vec<_> = invalid.iter().filter(|index| names.contains(&name(index))).cloned().collect();
    if named.is_empty() {
        return None;
    }
    Some(StepError::Server(Box::new(ServerError {
        code: "onward".to_owned(),
        message: format!("the script ran, but {} is invalid: no query uses it", named.join(", ")),
        hint: Some(remedy(&named)),
        ..ServerError::default()
    })))
}

fn remedy(indexes: &[String]) -> String {
    let drops = indexes.iter().map(|index| format!("`DROP INDEX CONCURRENTLY {index}`"));
    format!("an invalid index is left: run {}", drops.collect::<Vec<_>>().join(" and "))
}
