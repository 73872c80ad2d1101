//! Statements that insert literals. They are the bulk of a large script, and a parser makes a tree of each value.

use std::borrow::Cow;
use std::ops::Range;

use crate::lexer::{Token, TokenKind};

/// From this size on a text is worth the look.
const LARGE: usize = 64 * 1024;

/// A large text with spaces in place of each `INSERT` of literals, which a simple grammar has found sound. All other offsets stay.
/// <https://www.postgresql.org/docs/current/sql-insert.html>
pub(super) fn left_out<'a>(text: &'a str, tokens: &[Token]) -> Cow<'a, str> {
    if text.len() < LARGE {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for span in plain_inserts(text, tokens) {
        for byte in bytes[span].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
    }
    // Whole tokens were replaced, so what is left is whole, too.
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn plain_inserts(text: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut statement = Cursor { text, tokens, at: 0 };
    while statement.at < tokens.len() {
        let mut reader = statement;
        if let Some(first) = reader.plain_insert() {
            found.push(tokens[first].span.start..tokens[reader.at - 1].span.end);
            statement = reader;
        } else {
            statement.skip();
        }
    }
    found
}

/// A place among the tokens.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl Cursor<'_> {
    /// Goes behind the next semicolon outside parentheses.
    fn skip(&mut self) {
        let mut depth = 0_i32;
        while let Some(token) = self.tokens.get(self.at) {
            self.at += 1;
            match token.kind {
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth -= 1,
                TokenKind::Symbol(';') if depth <= 0 => return,
                _ => {}
            }
        }
    }

    /// `INSERT INTO name [(column, …)] VALUES (literal, …), …;` with the index of its first token.
    fn plain_insert(&mut self) -> Option<usize> {
        let first = self.peek()?;
        let is_plain = self.word("insert")
            && self.word("into")
            && self.name()
            && (!self.symbol('(') || self.list(Self::name))
            && self.word("values")
            && self.rows()
            && (self.symbol(';') || self.peek().is_none());
        is_plain.then_some(first)
    }

    fn rows(&mut self) -> bool {
        loop {
            if !self.symbol('(') || !self.list(Self::literal) {
                return false;
            }
            if !self.symbol(',') {
                return true;
            }
        }
    }

    /// The items of a list behind its parenthesis, up to the one that closes it.
    fn list(&mut self, item: fn(&mut Self) -> bool) -> bool {
        while item(self) {
            if self.symbol(')') {
                return true;
            }
            if !self.symbol(',') {
                return false;
            }
        }
        false
    }

    fn name(&mut self) -> bool {
        loop {
            let is_name = |token: &Token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
            if !self.next_if(|_, token| is_name(token)) {
                return false;
            }
            if !self.symbol('.') {
                return true;
            }
        }
    }

    /// A number, a string or a keyword, with or without a cast.
    fn literal(&mut self) -> bool {
        let signed = self.symbol('-') || self.symbol('+');
        let is_number = |text: &str, token: &Token| {
            token.kind == TokenKind::Word && token.text(text).starts_with(|c: char| c.is_ascii_digit())
        };
        let is_fraction = self.symbol('.');
        let is_value = if self.next_if(is_number) {
            // `1.` is a number, too, so what follows the point may be missing.
            let _ = !is_fraction && self.symbol('.') && self.next_if(is_number);
            true
        } else {
            let words = ["null", "true", "false", "default"];
            !signed
                && !is_fraction
                && self.next_if(|text, token| {
                    token.kind == TokenKind::String || words.iter().any(|word| token.is_word(text, word))
                })
        };
        is_value && (!self.symbol(':') || self.symbol(':') && self.name())
    }

    /// The index of the next token that is no comment.
    fn peek(&self) -> Option<usize> {
        let behind = self.tokens.get(self.at..)?;
        behind.iter().position(|token| !token.is_comment()).map(|index| self.at + index)
    }

    fn next_if(&mut self, accepts: impl Fn(&str, &Token) -> bool) -> bool {
        match self.peek() {
            Some(index) if accepts(self.text, &self.tokens[index]) => {
                self.at = index + 1;
                true
            }
            _ => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.next_if(|text, token| token.is_word(text, word))
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.next_if(|_, token| token.kind == TokenKind::Symbol(symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::lexer::lex;

    fn found(text: &str) -> Vec<&str> {
        plain_inserts(text, &lex(text, Dialect::Postgres)).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn only_sound_inserts_of_literals_are_found() {
        for text in [
            "INSERT INTO t VALUES (1);",
            "insert into public.\"T\" (a, b) values (1, 'x;'), (-1.5, NULL), (.5, E'\\n'::text), (DEFAULT, true)",
            "INSERT INTO t /* ( */ VALUES -- )\n (15, $$a$$, '{}'::jsonb, 'x'::pg_catalog.text);",
        ] {
            assert_eq!(found(text), [text], "{:?}", lex(text, Dialect::Postgres));
        }
        for text in [
            "INSERT INTO t SELECT 1;",
            "INSERT INTO t VALUES (f(1));",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;",
            "INSERT INTO t VALUES (1) RETURNING a;",
            "INSERT INTO t VALUES (1,);",
            "INSERT INTO t VALUES (1 2);",
            "INSERT INTO t VALUES (1), ;",
            "INSERT INTO t VALUES (1)) ;",
            "INSERT INTO t () VALUES (1);",
            "INSERT INTO t VALUES (1 + 1);",
            "INSERT INTO t VALUES (1:2);",
            "INSERT t VALUES (1);",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        let between =
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT (1; 2); INSERT INTO t VALUES (2);";
        assert_eq!(found(between), ["INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (2);"]);
    }

    #[test]
    fn offsets_and_lines_stay() {
        let data = "INSERT INTO t VALUES ('ü\n');\n".repeat(LARGE / 20);
        let text = format!("{data}SELCT 1;\n{data}");
        let left = left_out(&text, &lex(&text, Dialect::Postgres));
        assert_eq!(left.len(), text.len());
        assert_eq!((left.trim(), left.find("SELCT")), ("SELCT 1;", text.find("SELCT")));
        assert_eq!(left.lines().count(), text.lines().count());
        assert_eq!(left_out("INSERT INTO t VALUES (1);", &[]), "INSERT INTO t VALUES (1);");
    }
}
