use std::ops::Range;

use crate::dialect::Dialect;
use crate::lexer::{Token, lex};

/// One batch of a SQL Server script: what goes to the server in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its bytes in the script, without the `GO` line.
    pub span: Range<usize>,
    /// How often it runs: the number after `GO`, or 1.
    pub count: u32,
}

/// Splits a SQL Server script at its `GO` lines and leaves out batches that hold only comments.
///
/// `GO` is a command of sqlcmd and SSMS, not of the server. It stands alone on its line, in any letter case,
/// with an optional count and an optional comment. Inside a string, a bracketed name or a comment it is text.
/// Scripts for DbUp also write `GO;` or indent `GO`, so both forms separate batches here too.
/// <https://learn.microsoft.com/sql/t-sql/language-elements/sql-server-utilities-statements-go>
#[must_use]
pub fn batches(source: &str) -> Vec<Batch> {
    split(source, &lex(source, Dialect::SqlServer))
}

pub(crate) fn split(source: &str, tokens: &[Token]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut start = 0;
    for token in tokens {
        let Some((count, end)) = separator(source, token) else { continue };
        push(&mut batches, tokens, start..token.span.start, count);
        start = end;
    }
    push(&mut batches, tokens, start..source.len(), 1);
    batches
}

fn push(batches: &mut Vec<Batch>, tokens: &[Token], span: Range<usize>, count: u32) {
    let first = tokens.partition_point(|token| token.span.start < span.start);
    let has_code = tokens[first..]
        .iter()
        .take_while(|token| token.span.start < span.end)
        .any(|token| !token.is_comment());
    if has_code && count > 0 {
        batches.push(Batch { span, count });
    }
}

/// The count of a `GO` line and the offset at which the next batch begins.
fn separator(source: &str, token: &Token) -> Option<(u32, usize)> {
    if !token.is_word(source, "go") {
        return None;
    }
    let line_start = source[..token.span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = source[token.span.end..].find('\n').map_or(source.len(), |n| token.span.end + n);
    if !source[line_start..token.span.start].trim().is_empty() {
        return None;
    }
    let after = source[token.span.end..line_end].trim();
    let after = after.split("--").next().unwrap_or_default().trim();
    let after = after.strip_suffix(';').unwrap_or(after).trim();
    let count = if after.is_empty() { 1 } else { after.parse().ok()? };
    Some((count, line_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> Vec<(&str, u32)> {
        batches(source).into_iter().map(|b| (source[b.span].trim(), b.count)).collect()
    }

    #[test]
    fn go_separates_batches_only_when_alone_on_its_line() {
        let cases: &[(&str, &[(&str, u32)])] = &[
            ("a\nGO\nb", &[("a", 1), ("b", 1)]),
            ("a\n  go 3 \nb\nGo;\nc\nGO -- done\n", &[("a", 3), ("b", 1), ("c", 1)]),
            ("GO\nGO\n\nGO", &[]),
            ("-- only a comment\nGO\na", &[("a", 1)]),
            ("a 'x\nGO\ny'\nGO", &[("a 'x\nGO\ny'", 1)]),
            ("/*\nGO\n/* GO */\nGO\n*/ a", &[("/*\nGO\n/* GO */\nGO\n*/ a", 1)]),
            ("a [x\nGO\n]", &[("a [x\nGO\n]", 1)]),
            ("SELECT 1 GO\nGOTO x\nGO x", &[("SELECT 1 GO\nGOTO x\nGO x", 1)]),
            ("a\nGO 0\nb", &[("b", 1)]),
        ];
        for (source, expected) in cases {
            assert_eq!(shown(source), *expected, "{source}");
        }
    }

    #[test]
    fn a_batch_keeps_its_place_in_the_script() {
        let source = "a\nGO\n\n  b\n";
        assert_eq!(batches(source)[1].span, 4..10);
        assert_eq!(&source[4..10], "\n\n  b\n");
    }
}
