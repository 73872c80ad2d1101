use std::ops::Range;

use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind, lex};
use crate::text::line_span;

/// The largest count that sqlcmd takes.
pub(crate) const MAX_COUNT: u32 = i32::MAX as u32;

/// One batch of a SQL Server script: what goes to the server in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its bytes in the script, without the `GO` line.
    pub span: Range<usize>,
    /// How often it runs: the number after `GO`, or 1.
    pub count: u32,
}

impl Batch {
    /// The batch's own tokens of its script's, without comments.
    pub(crate) fn code<'a>(&self, tokens: &'a [Token]) -> Vec<&'a Token> {
        let first = tokens.partition_point(|token| token.span.start < self.span.start);
        let inside = tokens[first..].iter().take_while(|token| token.span.start < self.span.end);
        inside.filter(|token| !token.is_comment()).collect()
    }
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
        let Some(Ok((count, end))) = separator(source, token) else { continue };
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
    if has_code {
        batches.push(Batch { span, count });
    }
}

/// Whether a batch defines a procedure, function, trigger or view. Such a definition is always a batch of its own.
pub(crate) fn creates_module(text: &str, tokens: &[&Token]) -> bool {
    let word = |index: usize, word: &str| tokens.get(index).is_some_and(|t| t.is_word(text, word));
    let kind = if word(1, "or") && word(2, "alter") { 3 } else { 1 };
    (word(0, "create") || word(0, "alter"))
        && ["proc", "procedure", "function", "trigger", "view"].iter().any(|name| word(kind, name))
}

/// Whether a token is the `GO` of a line that separates batches.
pub(crate) fn is_separator(source: &str, token: &Token) -> bool {
    matches!(separator(source, token), Some(Ok(_)))
}

/// Why a word `GO` separates nothing. The server would take it for a name, and the batch would go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeparator {
    /// Something stands before it on its line.
    NotFirst,
    /// Something other than a count and a line comment stands behind it.
    Followed,
    /// Its count is zero, or larger than sqlcmd takes.
    Count,
}

/// The words `GO` that separate nothing. A part of a longer name is none of them.
pub(crate) fn without_effect(source: &str, tokens: &[Token]) -> Vec<(Range<usize>, NoSeparator)> {
    let is_dot = |token: Option<&Token>| token.is_some_and(|token| token.kind == TokenKind::Symbol('.'));
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let is_part =
            is_dot(tokens.get(index + 1)) || index.checked_sub(1).is_some_and(|it| is_dot(tokens.get(it)));
        if !is_part && let Some(Err(why)) = separator(source, token) {
            found.push((token.span.clone(), why));
        }
    }
    found
}

/// The count of a `GO` line and the offset at which the next batch begins; none for any other token.
fn separator(source: &str, token: &Token) -> Option<Result<(u32, usize), NoSeparator>> {
    if !token.is_word(source, "go") {
        return None;
    }
    let line = line_span(source, token.span.start);
    if !source[line.start..token.span.start].trim().is_empty() {
        return Some(Err(NoSeparator::NotFirst));
    }
    let after = source[token.span.end..line.end].split("--").next().unwrap_or_default().trim();
    let after = after.strip_suffix(';').unwrap_or(after).trim();
    if after.is_empty() {
        return Some(Ok((1, line.end)));
    }
    if !after.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Err(NoSeparator::Followed));
    }
    let count = after.parse().ok().filter(|count| (1..=MAX_COUNT).contains(count));
    Some(count.map(|count| (count, line.end)).ok_or(NoSeparator::Count))
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

    #[test]
    fn a_word_go_that_separates_nothing_is_found() {
        use NoSeparator::{Count, Followed, NotFirst};
        let found = |source: &str| {
            let found = without_effect(source, &lex(source, Dialect::SqlServer));
            found.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
        };
        for line in [
            "GO /* done */",
            "GO dbo",
            "GO SELECT 2",
            "GO 2 3",
            "GO -1",
            "GO +1",
            "GO 1.5",
            "GO 'x'",
            "GO, 2",
        ] {
            assert_eq!(found(&format!("SELECT a FROM t\n{line}\nUPDATE t SET a = 1")), [Followed], "{line}");
        }
        for line in ["GO 0", "GO 99999999999", "GO 2147483648"] {
            assert_eq!(found(line), [Count], "{line}");
        }
        for line in ["DROP TYPE IF EXISTS [x] GO;", "/* x */ GO", "SELECT 1; go", "SELECT 1 AS go"] {
            assert_eq!(found(line), [NotFirst], "{line}");
        }
        let sound = [
            "GO",
            "GO 2147483647",
            "go 2;",
            "GO -- x",
            "GO;-- x",
            "[GO]",
            "'GO'",
            "t.go",
            "go.t",
            "@go",
            "GOTO x",
        ];
        for line in sound {
            assert_eq!(found(line), [], "{line}");
        }
    }
}
