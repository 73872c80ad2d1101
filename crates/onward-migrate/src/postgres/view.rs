//! The text of a view, as every version of PostgreSQL writes it.

use std::ops::Range;

use onward_script::{Dialect, Token, TokenKind, lex};

/// Removes the name of the table from the columns of a query that reads one table only, as PostgreSQL 16 and newer do. In a
/// subquery and beside a second table all versions write it.
pub(super) fn without_needless_table(text: &str) -> String {
    let tokens = lex(text, Dialect::Postgres);
    let own = own_level(text, &tokens);
    let Some(table) = only_table(text, &own) else { return text.to_owned() };
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for removed in needless(text, &own, table) {
        kept.push_str(&text[from..removed.start]);
        from = removed.end;
    }
    kept.push_str(&text[from..]);
    kept
}

/// A token of the outermost query, with how many parentheses are open before it.
type Own<'a> = (&'a Token, usize);

/// The tokens that belong to no subquery.
fn own_level<'a>(text: &str, tokens: &'a [Token]) -> Vec<Own<'a>> {
    let mut own = Vec::new();
    let (mut depth, mut subquery) = (0_usize, None);
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol('(') => {
                let begins =
                    |next: &Token| ["SELECT", "WITH", "VALUES"].iter().any(|word| next.is_word(text, word));
                if subquery.is_none() && tokens.get(index + 1).is_some_and(begins) {
                    subquery = Some(depth);
                }
                if subquery.is_none() {
                    own.push((token, depth));
                }
                depth += 1;
                continue;
            }
            TokenKind::Symbol(')') => {
                depth = depth.saturating_sub(1);
                if subquery == Some(depth) {
                    subquery = None;
                    continue;
                }
            }
            _ => {}
        }
        if subquery.is_none() {
            own.push((token, depth));
        }
    }
    own
}

/// The name by which the query knows the one table that it reads.
fn only_table<'a>(text: &'a str, own: &[Own<'_>]) -> Option<&'a str> {
    let is = |own: &Own<'_>, words: &[&str]| own.1 == 0 && words.iter().any(|word| own.0.is_word(text, word));
    if own.iter().any(|own| is(own, &["UNION", "INTERSECT", "EXCEPT"])) {
        return None;
    }
    let from = own.iter().position(|own| is(own, &["FROM"]))? + 1;
    let ends = ["WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "FOR"];
    let item = &own[from..];
    let end = item.iter().position(|own| is(own, &ends) || own.0.kind == TokenKind::Symbol(';'));
    let item = &item[..end.unwrap_or(item.len())];
    let sample = item.iter().position(|own| is(own, &["TABLESAMPLE"])).unwrap_or(item.len());
    let item = &item[..sample];
    // A second table comes behind a comma or with a join, which may be in parentheses.
    let is_comma = |own: &Own<'_>| own.1 == 0 && own.0.kind == TokenKind::Symbol(',');
    if item.iter().any(|own| is_comma(own) || own.0.is_word(text, "JOIN")) {
        return None;
    }
    let is_name =
        |own: &&Own<'_>| own.1 == 0 && matches!(own.0.kind, TokenKind::Word | TokenKind::QuotedName);
    item.iter().rfind(is_name).map(|(token, _)| token.text(text))
}

/// The places of `table.` before the name of a column. The whole row, `table.*`, keeps its name.
fn needless(text: &str, own: &[Own<'_>], table: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (index, three) in own.windows(3).enumerate() {
        let [(name, _), (dot, _), (column, _)] = three else { continue };
        let is_after_dot = index > 0 && own[index - 1].0.kind == TokenKind::Symbol('.');
        let is_column = matches!(column.kind, TokenKind::Word | TokenKind::QuotedName);
        if name.text(text) == table && dot.kind == TokenKind::Symbol('.') && is_column && !is_after_dot {
            places.push(name.span.start..dot.span.end);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_needs_no_name_in_front_of_its_columns() {
        let cases = [
            (
                "SELECT orders.id, orders.state FROM orders WHERE (orders.state = 'orders.x'::mood);",
                "SELECT id, state FROM orders WHERE (state = 'orders.x'::mood);",
            ),
            ("SELECT o.id FROM shop.orders o ORDER BY o.id;", "SELECT id FROM shop.orders o ORDER BY id;"),
            ("SELECT notes.body FROM shop.notes;", "SELECT body FROM shop.notes;"),
            ("SELECT \"O\".id FROM orders \"O\";", "SELECT id FROM orders \"O\";"),
            ("SELECT o.*::orders AS o FROM orders o;", "SELECT o.*::orders AS o FROM orders o;"),
            (
                "SELECT o.id, ( SELECT max(l.id) AS max FROM lines l WHERE (l.o = o.id)) AS m FROM orders o;",
                "SELECT id, ( SELECT max(l.id) AS max FROM lines l WHERE (l.o = o.id)) AS m FROM orders o;",
            ),
            (
                "SELECT a.x, b.y FROM (a JOIN b ON ((a.x = b.y)));",
                "SELECT a.x, b.y FROM (a JOIN b ON ((a.x = b.y)));",
            ),
            ("SELECT g.n FROM generate_series(1, 3) g(n);", "SELECT n FROM generate_series(1, 3) g(n);"),
            ("SELECT w.a FROM ( VALUES (1), (2)) w(a);", "SELECT a FROM ( VALUES (1), (2)) w(a);"),
            ("SELECT f.a FROM f4(1) f;", "SELECT a FROM f4(1) f;"),
            ("SELECT tt.x FROM u tt TABLESAMPLE system (10);", "SELECT x FROM u tt TABLESAMPLE system (10);"),
            ("SELECT a.x FROM a, b;", "SELECT a.x FROM a, b;"),
            ("SELECT a.x FROM a UNION SELECT b.x FROM b;", "SELECT a.x FROM a UNION SELECT b.x FROM b;"),
            ("SELECT 1 AS one;", "SELECT 1 AS one;"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_needless_table(text), expected);
        }
    }
}
