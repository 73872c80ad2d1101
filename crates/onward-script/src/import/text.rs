//! The part of another tool's script that Onward runs, and how.

use super::tool::Tool;
use crate::dialect::Dialect;
use crate::directive::only_comments;
use crate::lexer::lex;
use crate::rules::transaction::refuses_transaction;
use crate::statement;

/// What Flyway's `V1__orders.sql.conf` says of `V1__orders.sql`.
/// <https://documentation.red-gate.com/flyway/reference/script-configuration>
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settings {
    pub no_transaction: bool,
    pub no_placeholders: bool,
}

impl Settings {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let is_off = |setting: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let last = lines.rfind(|(name, _)| name.trim() == setting);
            last.is_some_and(|(_, value)| value.trim().eq_ignore_ascii_case("false"))
        };
        Self {
            no_transaction: is_off("executeInTransaction"),
            no_placeholders: is_off("placeholderReplacement"),
        }
    }
}

/// Whether a script is one statement that PostgreSQL refuses in a transaction. The tools run it without one by themselves, or run each
/// script so.
pub(super) fn needs_none(dialect: Dialect, text: &str) -> bool {
    let statements = if dialect == Dialect::Postgres { statement::statements(text) } else { Vec::new() };
    matches!(&statements[..], [only] if refuses_transaction(text, only).is_some())
}

/// The part of a script that makes the change, and whether it runs without a transaction.
pub(super) struct Forward<'a> {
    pub text: &'a str,
    pub no_transaction: bool,
}

pub(super) fn forward(tool: Tool, text: &str) -> Forward<'_> {
    // The line of a comment with these words, without regard to blanks and case.
    let line = |words: &[&str]| {
        let mut at = 0;
        text.split_inclusive('\n').find_map(|line| {
            let start = at;
            at += line.len();
            let said = line.trim().strip_prefix("--")?;
            let mut said = said.split_whitespace();
            let is_it =
                words.iter().all(|word| said.next().is_some_and(|said| said.eq_ignore_ascii_case(word)));
            is_it.then_some((start, start + line.len()))
        })
    };
    let (up, down, no_transaction) = match tool {
        Tool::Goose => {
            (&["+goose", "up"][..], &["+goose", "down"][..], line(&["+goose", "no", "transaction"]).is_some())
        }
        Tool::Dbmate => {
            (&["migrate:up"][..], &["migrate:down"][..], line(&["migrate:up", "transaction:false"]).is_some())
        }
        Tool::Sqlx => (&[][..], &[][..], text.starts_with("-- no-transaction")),
        _ => (&[][..], &[][..], false),
    };
    if up.is_empty() {
        return Forward { text, no_transaction };
    }
    let start = line(up).map_or(0, |(_, end)| end);
    let end = line(down).map_or(text.len(), |(start, _)| start);
    // A script may have the way back first.
    let end = if end < start { text.len() } else { end };
    Forward { text: &text[start..end], no_transaction }
}

pub(super) fn with_header(path: &str, title: &str, dialect: Dialect, forward: &Forward<'_>) -> String {
    let mut header = format!("-- onward: was {path}\n");
    if !title.is_empty() {
        header.push_str(&format!("-- onward: title {title}\n"));
    }
    if forward.no_transaction {
        header.push_str("-- onward: no-transaction\n");
    }
    let text = forward.text.trim();
    // A script that did nothing keeps its number.
    let nothing = if only_comments(&lex(text, dialect)) { "\nSELECT 1;" } else { "" };
    format!("{header}\n{text}{nothing}\n")
}
