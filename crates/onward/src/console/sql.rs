//! SQL with its comments, strings and keywords coloured.

use maud::{Markup, html};
use onward_script::{Dialect, TokenKind, lex};

/// The words that begin and join statements; the rest of SQL's is as plain as names are.
const KEYWORDS: &[&str] = &[
    "ADD",
    "ALTER",
    "AND",
    "AS",
    "BEGIN",
    "BY",
    "CASCADE",
    "CASE",
    "CHECK",
    "COLUMN",
    "COMMIT",
    "CONSTRAINT",
    "CREATE",
    "DEFAULT",
    "DELETE",
    "DROP",
    "ELSE",
    "END",
    "EXEC",
    "EXECUTE",
    "EXISTS",
    "FOREIGN",
    "FROM",
    "FUNCTION",
    "GO",
    "GRANT",
    "GROUP",
    "IF",
    "IN",
    "INDEX",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LEFT",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "PRIMARY",
    "PROCEDURE",
    "REFERENCES",
    "REPLACE",
    "RETURNS",
    "REVOKE",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "TRIGGER",
    "TYPE",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WITH",
];

/// A script in a block of its own.
pub(super) fn sql(text: &str, dialect: Dialect, label: &str) -> Markup {
    let mut at = 0;
    html! {
        pre.sql tabindex="0" role="region" aria-label=(label) {
            @for token in lex(text, dialect) {
                @let class = class(token.kind, token.text(text));
                @let between = &text[std::mem::replace(&mut at, token.span.end)..token.span.start];
                (between)
                @match class {
                    Some(class) => span class=(class) { (token.text(text)) },
                    None => (token.text(text)),
                }
            }
            (&text[at..])
        }
    }
}

fn class(kind: TokenKind, text: &str) -> Option<&'static str> {
    match kind {
        TokenKind::LineComment | TokenKind::BlockComment => Some("comment"),
        TokenKind::String => Some("string"),
        TokenKind::Word if KEYWORDS.binary_search(&text.to_ascii_uppercase().as_str()).is_ok() => {
            Some("keyword")
        }
        TokenKind::Word | TokenKind::QuotedName | TokenKind::Symbol(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_coloured_and_escaped() {
        assert!(KEYWORDS.is_sorted());
        let html = sql("-- <b>\nSELECT '</pre>' AS x;\n", Dialect::Postgres, "x").into_string();
        let inner = html.split_once('>').expect("a block").1;
        assert_eq!(
            inner,
            "<span class=\"comment\">-- &lt;b&gt;</span>\n<span class=\"keyword\">SELECT</span> \
             <span class=\"string\">'&lt;/pre&gt;'</span> <span class=\"keyword\">AS</span> x;\n</pre>"
        );
    }
}
