use std::ops::Range;

use crate::dialect::Dialect;

/// A piece of SQL text; white space is not a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What it lacks at its end, if it is not closed.
    pub fault: Option<Unclosed>,
}

/// What a token is, as far as the checks must tell code from strings and comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword, a name without quotes, or a number.
    Word,
    /// `'text'`, with its prefix; on PostgreSQL also `$tag$text$tag$`.
    String,
    /// `"name"`, on SQL Server also `[name]`.
    QuotedName,
    /// `-- to the end of the line`.
    LineComment,
    /// `/* nested */`.
    BlockComment,
    /// Any other character.
    Symbol(char),
}

/// What a token is missing at the end of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclosed {
    /// The closing `'`, or the closing tag of a dollar quote.
    String,
    /// The closing `"` or `]`.
    Name,
    /// The closing `*/`.
    Comment,
}

impl Token {
    /// The token's text.
    #[must_use]
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.span.clone()]
    }

    /// Whether it is this keyword, in any case.
    #[must_use]
    pub fn is_word(&self, source: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(source).eq_ignore_ascii_case(word)
    }

    /// Whether it is a comment.
    #[must_use]
    pub const fn is_comment(&self) -> bool {
        matches!(self.kind, TokenKind::LineComment | TokenKind::BlockComment)
    }
}

/// Splits a text into tokens by the lexical rules of the dialect.
///
/// Any text can be lexed: a token that is not closed runs to the end of the text and carries its [`Unclosed`].
/// PostgreSQL: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html> and the rules of its own lexer, `scan.l`, with
/// `standard_conforming_strings` on and an encoding of UTF-8. SQL Server: `QUOTED_IDENTIFIER` on, nested comments.
#[must_use]
pub fn lex(source: &str, dialect: Dialect) -> Vec<Token> {
    let mut cursor = Cursor { source, at: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = cursor.next(dialect) {
        tokens.push(token);
    }
    tokens
}

struct Cursor<'a> {
    source: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn next(&mut self, dialect: Dialect) -> Option<Token> {
        let rest = &self.source[self.at..];
        self.at = self.source.len() - rest.trim_start_matches(|c| is_space(c, dialect)).len();
        let start = self.at;
        let first = self.peek()?;
        let (kind, fault) = match first {
            '-' if self.rest().starts_with("--") => {
                self.at += self.rest().find(line_ends(dialect)).unwrap_or(self.rest().len());
                (TokenKind::LineComment, None)
            }
            '/' if self.rest().starts_with("/*") => (TokenKind::BlockComment, self.block_comment()),
            '\'' => (TokenKind::String, self.string(dialect, false)),
            '"' => (TokenKind::QuotedName, self.quoted('"', false, Unclosed::Name)),
            '[' if dialect == Dialect::SqlServer => {
                (TokenKind::QuotedName, self.quoted(']', false, Unclosed::Name))
            }
            '$' if dialect == Dialect::Postgres => match self.dollar_tag() {
                Some(tag) => (TokenKind::String, self.dollar_quoted(&tag)),
                None => self.symbol(first),
            },
            _ if first.is_ascii_digit() && dialect == Dialect::Postgres => self.number(),
            _ if is_word_start(first, dialect) => self.word(dialect),
            _ => self.symbol(first),
        };
        Some(Token { kind, span: start..self.at, fault })
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn symbol(&mut self, symbol: char) -> (TokenKind, Option<Unclosed>) {
        self.at += symbol.len_utf8();
        (TokenKind::Symbol(symbol), None)
    }

    /// The digits of a number. What follows them is a token of its own: in older servers `1e'x'` is a number and a string, newer
    /// ones refuse it.
    fn number(&mut self) -> (TokenKind, Option<Unclosed>) {
        let is_digit = |c: char| c.is_ascii_digit();
        self.at += self.rest().find(|c| !is_digit(c)).unwrap_or(self.rest().len());
        (TokenKind::Word, None)
    }

    /// A word, or a string or name with a prefix: `E'…'`, `N'…'`, `U&"…"`.
    fn word(&mut self, dialect: Dialect) -> (TokenKind, Option<Unclosed>) {
        let end = self.rest().find(|c| !is_word_part(c, dialect)).unwrap_or(self.rest().len());
        let (word, after) = self.rest().split_at(end);
        let unicode = dialect == Dialect::Postgres
            && word.eq_ignore_ascii_case("u")
            && (after.starts_with("&'") || after.starts_with("&\""));
        let prefix = after.starts_with('\'')
            && match dialect {
                Dialect::Postgres => matches!(word, "e" | "E" | "b" | "B" | "x" | "X" | "n" | "N"),
                Dialect::SqlServer => matches!(word, "n" | "N"),
            };
        let backslash = prefix && dialect == Dialect::Postgres && matches!(word, "e" | "E");
        self.at += end + usize::from(unicode);
        match self.peek() {
            Some('\'') if prefix || unicode => (TokenKind::String, self.string(dialect, backslash)),
            Some('"') if unicode => (TokenKind::QuotedName, self.quoted('"', false, Unclosed::Name)),
            _ => (TokenKind::Word, None),
        }
    }

    /// A string. On PostgreSQL one that goes on after a line end is one string, and a backslash means in its second part what it
    /// means in the first.
    fn string(&mut self, dialect: Dialect, backslash: bool) -> Option<Unclosed> {
        loop {
            if let Some(unclosed) = self.quoted('\'', backslash, Unclosed::String) {
                return Some(unclosed);
            }
            if dialect == Dialect::SqlServer {
                return None;
            }
            // None here is no fault: the string does not go on.
            self.at = self.continuation()?;
        }
    }

    /// Where a string goes on: behind white space with a line end, between which there may be line comments.
    fn continuation(&self) -> Option<usize> {
        let (mut rest, mut has_line_end) = (self.rest(), false);
        loop {
            let next = rest.chars().next()?;
            if next == '\'' {
                return has_line_end.then(|| self.source.len() - rest.len());
            } else if rest.starts_with("--") {
                // It goes on only behind the end of its line.
                rest = &rest[rest.find(['\n', '\r'])?..];
            } else if is_space(next, Dialect::Postgres) {
                has_line_end |= matches!(next, '\n' | '\r');
                rest = &rest[1..];
            } else {
                return None;
            }
        }
    }

    /// Reads to the closing character. Two of them in a row stand for the character itself.
    fn quoted(&mut self, close: char, backslash: bool, unclosed: Unclosed) -> Option<Unclosed> {
        self.at += 1;
        loop {
            let stop = |c: char| c == close || (backslash && c == '\\');
            let Some(found) = self.rest().find(stop) else {
                self.at = self.source.len();
                return Some(unclosed);
            };
            self.at += found + 1;
            if self.source.as_bytes()[self.at - 1] == b'\\' {
                self.at += self.peek().map_or(0, char::len_utf8);
            } else if self.peek() == Some(close) {
                self.at += 1;
            } else {
                return None;
            }
        }
    }

    /// `$$` or `$tag$`; a parameter such as `$1` is not a tag.
    fn dollar_tag(&self) -> Option<String> {
        let inner = &self.rest()[1..];
        let tag = &inner[..inner.find('$')?];
        let is_tag = !tag.starts_with(|c: char| c.is_ascii_digit())
            && tag.chars().all(|c| is_word_part(c, Dialect::Postgres) && c != '$');
        is_tag.then(|| format!("${tag}$"))
    }

    fn dollar_quoted(&mut self, tag: &str) -> Option<Unclosed> {
        self.at += tag.len();
        match self.rest().find(tag) {
            Some(end) => {
                self.at += end + tag.len();
                None
            }
            None => {
                self.at = self.source.len();
                Some(Unclosed::String)
            }
        }
    }

    fn block_comment(&mut self) -> Option<Unclosed> {
        let mut depth = 0_usize;
        loop {
            let Some(found) = self.rest().find(['/', '*']) else {
                self.at = self.source.len();
                return Some(Unclosed::Comment);
            };
            self.at += found;
            if self.rest().starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return None;
                }
            } else {
                self.at += 1;
            }
        }
    }
}

/// PostgreSQL takes ASCII's white space only: a no-break space is a part of a name there.
fn is_space(c: char, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Postgres => matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}'),
        Dialect::SqlServer => c.is_whitespace() || c == '\u{feff}',
    }
}

/// What ends a line comment.
const fn line_ends(dialect: Dialect) -> &'static [char] {
    match dialect {
        Dialect::Postgres => &['\n', '\r'],
        Dialect::SqlServer => &['\n'],
    }
}

fn is_word_start(c: char, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Postgres => c.is_ascii_alphabetic() || c == '_' || !c.is_ascii(),
        Dialect::SqlServer => c.is_alphanumeric() || matches!(c, '_' | '#' | '@'),
    }
}

fn is_word_part(c: char, dialect: Dialect) -> bool {
    is_word_start(c, dialect) || c.is_ascii_digit() || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, dialect: Dialect) -> Vec<String> {
        lex(source, dialect)
            .into_iter()
            .map(|token| {
                let fault = token.fault.map_or(String::new(), |fault| format!(" {fault:?}"));
                let kind = match token.kind {
                    TokenKind::Symbol(_) => "Symbol".to_owned(),
                    kind => format!("{kind:?}"),
                };
                format!("{kind} {}{fault}", token.text(source))
            })
            .collect()
    }

    #[test]
    fn postgres_strings_and_comments_hide_their_text() {
        let cases: &[(&str, &[&str])] = &[
            ("'it''s; ok';", &["String 'it''s; ok'", "Symbol ;"]),
            (r"'a\' b", &[r"String 'a\'", "Word b"]),
            (r"E'a\'; b' c", &[r"String E'a\'; b'", "Word c"]),
            ("$$ a; $x$ b $$ c", &["String $$ a; $x$ b $$", "Word c"]),
            ("$f$ $$;$$ $f$", &["String $f$ $$;$$ $f$"]),
            ("$1 $2", &["Symbol $", "Word 1", "Symbol $", "Word 2"]),
            ("a$b$c", &["Word a$b$c"]),
            ("/* a /* b */ c; */ d", &["BlockComment /* a /* b */ c; */", "Word d"]),
            ("a -- b; 'c\nd", &["Word a", "LineComment -- b; 'c", "Word d"]),
            (r#""a""b;" c"#, &[r#"QuotedName "a""b;""#, "Word c"]),
            (r#"U&"d\0061" u&'x'"#, &[r#"QuotedName U&"d\0061""#, "String u&'x'"]),
            ("a[1]", &["Word a", "Symbol [", "Word 1", "Symbol ]"]),
        ];
        for (source, expected) in cases {
            assert_eq!(shown(source, Dialect::Postgres), *expected, "{source}");
        }
    }

    /// Each case is a rule of `scan.l`, by its name there.
    #[test]
    fn the_rules_of_postgres_own_lexer() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("comment", "a -- b\rc", &["Word a", "LineComment -- b", "Word c"]),
            ("space", "a\u{b}b\u{c}c", &["Word a", "Word b", "Word c"]),
            ("identifier", "a\u{a0}b \u{1f600} é1$", &["Word a\u{a0}b", "Word \u{1f600}", "Word é1$"]),
            ("identifier", "@end#a", &["Symbol @", "Word end", "Symbol #", "Word a"]),
            ("quotecontinue", "'a'\n  'b;' c", &["String 'a'\n  'b;'", "Word c"]),
            ("quotecontinue", "'a' -- x\n -- y\n'b' c", &["String 'a' -- x\n -- y\n'b'", "Word c"]),
            ("quotecontinue", "'a' 'b'", &["String 'a'", "String 'b'"]),
            ("quotecontinue", "'a' -- x", &["String 'a'", "LineComment -- x"]),
            ("quotecontinue", "'a' /* x */\n'b'", &["String 'a'", "BlockComment /* x */", "String 'b'"]),
            ("xe", "E'a'\r'\\';' b", &["String E'a'\r'\\';'", "Word b"]),
            ("xe", "E'\\\\' a", &["String E'\\\\'", "Word a"]),
            ("xus", "U&'a'\n'b\\' c", &["String U&'a'\n'b\\'", "Word c"]),
            ("xb", "b'1' X'f' N'n'", &["String b'1'", "String X'f'", "String N'n'"]),
            ("integer_junk", "1e'\\';' 2a", &["Word 1", "String e'\\';'", "Word 2", "Word a"]),
            ("param", "$1$$;$$", &["Symbol $", "Word 1", "String $$;$$"]),
            ("dolqdelim", "1$a$;$a$", &["Word 1", "String $a$;$a$"]),
            (
                "dolqdelim",
                "$é$;$é$ $a@b$;",
                &["String $é$;$é$", "Symbol $", "Word a", "Symbol @", "Word b$", "Symbol ;"],
            ),
            ("dolqdelim", "$a$ $$ $b$a$ c", &["String $a$ $$ $b$a$", "Word c"]),
            (
                "xcstart",
                "1 +/* -- */-2",
                &["Word 1", "Symbol +", "BlockComment /* -- */", "Symbol -", "Word 2"],
            ),
            (
                "xcstop",
                "/**/a/***/b/*/ */c",
                &[
                    "BlockComment /**/",
                    "Word a",
                    "BlockComment /***/",
                    "Word b",
                    "BlockComment /*/ */",
                    "Word c",
                ],
            ),
            ("operator", "a*-- b\nc", &["Word a", "Symbol *", "LineComment -- b", "Word c"]),
        ];
        for (rule, source, expected) in cases {
            assert_eq!(shown(source, Dialect::Postgres), *expected, "{rule}: {source}");
        }
    }

    #[test]
    fn sql_server_has_brackets_and_no_dollar_quotes() {
        let cases: &[(&str, &[&str])] = &[
            ("[a]]b; 'c] d", &["QuotedName [a]]b; 'c]", "Word d"]),
            ("N'it''s'", &["String N'it''s'"]),
            ("@t #t", &["Word @t", "Word #t"]),
            ("$$ a", &["Symbol $", "Symbol $", "Word a"]),
            ("/* /* */ GO */ x", &["BlockComment /* /* */ GO */", "Word x"]),
        ];
        for (source, expected) in cases {
            assert_eq!(shown(source, Dialect::SqlServer), *expected, "{source}");
        }
    }

    #[test]
    fn an_unclosed_token_carries_its_fault() {
        let fault = |source: &str, dialect| lex(source, dialect).last().and_then(|t| t.fault);
        assert_eq!(fault("SELECT 'a", Dialect::Postgres), Some(Unclosed::String));
        assert_eq!(fault("SELECT $a$ $b$", Dialect::Postgres), Some(Unclosed::String));
        assert_eq!(fault(r"E'\", Dialect::Postgres), Some(Unclosed::String));
        assert_eq!(fault("SELECT \"a", Dialect::Postgres), Some(Unclosed::Name));
        assert_eq!(fault("SELECT [a]]", Dialect::SqlServer), Some(Unclosed::Name));
        assert_eq!(fault("/* /* */", Dialect::SqlServer), Some(Unclosed::Comment));
    }
}
