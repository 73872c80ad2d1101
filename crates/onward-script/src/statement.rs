use std::ops::Range;

use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind, lex};

/// One statement of a PostgreSQL script, without the comments before it and the semicolon after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its tokens, without comments.
    pub tokens: Vec<Token>,
}

impl Statement {
    /// Its bytes in the script.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => 0..0,
        }
    }

    /// Whether the statement begins with these keywords.
    #[must_use]
    pub fn starts_with(&self, source: &str, words: &[&str]) -> bool {
        self.tokens.len() >= words.len()
            && words.iter().zip(&self.tokens).all(|(word, token)| token.is_word(source, word))
    }

    /// The word `VALUE` of `ALTER TYPE … ADD VALUE`, if it is this statement. What it adds to an enum cannot be used before a commit.
    /// <https://www.postgresql.org/docs/current/sql-altertype.html>
    #[must_use]
    pub fn adds_enum_value(&self, source: &str) -> Option<&Token> {
        let adds = self.starts_with(source, &["alter", "type"]) && self.find(source, "add").is_some();
        self.find(source, "value").filter(|_| adds)
    }

    /// Where the keyword stands in the statement.
    #[must_use]
    pub fn find(&self, source: &str, word: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.is_word(source, word))
    }
}

/// Whether a token is one of the spellings of a boolean that is off, quoted or not.
/// <https://www.postgresql.org/docs/current/config-setting.html>
pub(crate) fn is_off(source: &str, token: &Token) -> bool {
    let value = token.text(source).trim_matches('\'').to_ascii_lowercase();
    ["false", "off", "no", "0"].contains(&value.as_str())
}

/// Splits a PostgreSQL script at its top-level semicolons.
///
/// The rules are those of the server's grammar. A semicolon ends no statement inside parentheses (`CREATE RULE … DO (a; b)`)
/// or inside the `BEGIN ATOMIC … END` body of a function or procedure. Strings, dollar quotes and comments are
/// not code. <https://www.postgresql.org/docs/current/sql-createfunction.html>
#[must_use]
pub fn statements(source: &str) -> Vec<Statement> {
    split(source, &lex(source, Dialect::Postgres))
}

pub(crate) fn split(source: &str, tokens: &[Token]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut current: Vec<Token> = Vec::new();
    let mut parentheses = 0_usize;
    let mut in_body = false;
    for token in tokens.iter().filter(|token| !token.is_comment()) {
        let previous = current.last();
        match token.kind {
            TokenKind::Symbol('(') => parentheses += 1,
            TokenKind::Symbol(')') => parentheses = parentheses.saturating_sub(1),
            TokenKind::Symbol(';') if parentheses == 0 && !in_body => {
                if !current.is_empty() {
                    statements.push(Statement { tokens: std::mem::take(&mut current) });
                }
                continue;
            }
            TokenKind::Word if in_body => {
                // Elsewhere `end` closes a CASE, or is the name of a column.
                let begins_statement = previous.is_some_and(|previous| {
                    previous.kind == TokenKind::Symbol(';') || previous.is_word(source, "atomic")
                });
                in_body = !(begins_statement && token.is_word(source, "end"));
            }
            // `begin` alone may be the name of a parameter.
            TokenKind::Word if parentheses == 0 && token.is_word(source, "atomic") => {
                in_body = previous.is_some_and(|previous| previous.is_word(source, "begin"))
                    && creates_routine(source, &current);
            }
            _ => {}
        }
        current.push(token.clone());
    }
    if !current.is_empty() {
        statements.push(Statement { tokens: current });
    }
    statements
}

/// `CREATE [OR REPLACE] FUNCTION | PROCEDURE`, whose body may hold statements.
fn creates_routine(source: &str, tokens: &[Token]) -> bool {
    let word =
        |index: usize, word: &str| tokens.get(index).is_some_and(|token: &Token| token.is_word(source, word));
    let kind = if word(1, "or") && word(2, "replace") { 3 } else { 1 };
    word(0, "create") && (word(kind, "function") || word(kind, "procedure"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        statements(source).iter().map(|statement| &source[statement.span()]).collect()
    }

    #[test]
    fn only_top_level_semicolons_end_a_statement() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ; ;; -- x", &[]),
            ("a; b", &["a", "b"]),
            ("-- c\na /* ; */ b; -- d;\n c;", &["a /* ; */ b", "c"]),
            ("a 'x;y'; b $$;$$ c", &["a 'x;y'", "b $$;$$ c"]),
            ("CREATE RULE r DO (a; b); c", &["CREATE RULE r DO (a; b)", "c"]),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 2; END; c",
                &["CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN b END; SELECT 2; END", "c"],
            ),
            (
                "CREATE OR REPLACE PROCEDURE f(a int DEFAULT (1)) BEGIN ATOMIC END; c",
                &["CREATE OR REPLACE PROCEDURE f(a int DEFAULT (1)) BEGIN ATOMIC END", "c"],
            ),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT p.start, p.end, 1 AS end, (CASE WHEN a THEN b END); END; c",
                &[
                    "CREATE FUNCTION f() BEGIN ATOMIC SELECT p.start, p.end, 1 AS end, (CASE WHEN a THEN b END); END",
                    "c",
                ],
            ),
            (
                "CREATE FUNCTION f(begin date, until date) AS $$ SELECT until - begin $$; COMMIT; b",
                &["CREATE FUNCTION f(begin date, until date) AS $$ SELECT until - begin $$", "COMMIT", "b"],
            ),
            (
                "CREATE FUNCTION f(begin atomic) AS ''; COMMIT",
                &["CREATE FUNCTION f(begin atomic) AS ''", "COMMIT"],
            ),
            ("BEGIN; a; END; b", &["BEGIN", "a", "END", "b"]),
            ("a ) ; b", &["a )", "b"]),
        ];
        for (source, expected) in cases {
            assert_eq!(texts(source), *expected, "{source}");
        }
    }
}
