#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod slips;
mod sql_server;

use super::Source;
use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::Unclosed;
use crate::rule::Rule;

/// Checks that the text is SQL of the dialect, as far as this is possible without the database.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect) -> Vec<Finding> {
    let unclosed = unclosed(source);
    if !unclosed.is_empty() {
        return unclosed;
    }
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => postgres::check(source),
        #[cfg(not(feature = "postgres"))]
        Dialect::Postgres => Vec::new(),
        Dialect::SqlServer => sql_server::check(source),
    }
}

/// Finds unclosed tokens. They hide the rest of the script, so the check reports nothing else.
fn unclosed(source: &Source<'_>) -> Vec<Finding> {
    let found = source.tokens.iter().filter_map(|token| Some((token, token.fault?)));
    found
        .map(|(token, fault)| {
            let (what, close) = match fault {
                Unclosed::Comment => ("comment", "*/"),
                Unclosed::Name if token.text(source.text).starts_with('[') => ("bracket", "]"),
                Unclosed::Name => ("quoted name", "\""),
                Unclosed::String if token.text(source.text).starts_with('$') => {
                    ("dollar quote", "the same tag")
                }
                Unclosed::String => ("string", "'"),
            };
            let start = token.span.start;
            let end = start + token.text(source.text).find('\n').unwrap_or(token.span.len());
            let message = format!("a {what} that is not closed");
            Finding::file(Rule::Syntax, source.path, message, format!("close it with {close}")).at(start..end)
        })
        .collect()
}
