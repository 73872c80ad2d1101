//! The texts that the server writes out, brought to one form: equal definitions must be equal texts.

use std::ops::Range;

use onward_script::{Dialect, Token, TokenKind, lex};

/// Puts a definition on one line, and casts of arrays outside them.
pub(super) fn canonical(text: &str) -> String {
    array_casts(&on_one_line(text))
}

/// Newlines between words are layout; those in a string belong to it.
fn on_one_line(text: &str) -> String {
    if !text.contains('\n') {
        return text.trim().to_owned();
    }
    let mut line = String::with_capacity(text.len());
    let mut end = 0;
    for token in lex(text, Dialect::Postgres) {
        let between = &text[end..token.span.start];
        line.push_str(if between.contains('\n') { " " } else { between });
        line.push_str(token.text(text));
        end = token.span.end;
    }
    line.trim().to_owned()
}

/// `ARRAY['a'::x::text, 'b'::x::text]` as `ARRAY['a'::x, 'b'::x]::text[]`: a dump that is restored has the first form where the
/// original has the second, because the server casts each constant as it reads.
fn array_casts(text: &str) -> String {
    let mut text = text.to_owned();
    let mut from = 0;
    // Each round moves the casts of one array; what is in front of it is done.
    while let Some(array) = next_array(&text, from) {
        from = array.span.start + "ARRAY[".len();
        if array.is_in_parentheses {
            text.remove(array.span.end);
            text.remove(array.span.start - 1);
        } else if let Some(moved) = array.with_cast_outside(&text) {
            text.replace_range(array.span.clone(), &moved);
        }
    }
    text
}

/// The place of an array constructor, and its elements.
struct Array {
    span: Range<usize>,
    elements: Vec<Range<usize>>,
    has_cast: bool,
    /// Whether parentheses stand between the array and its cast, which some texts have and some do not.
    is_in_parentheses: bool,
}

fn next_array(text: &str, from: usize) -> Option<Array> {
    let tokens: Vec<Token> = lex(text, Dialect::Postgres);
    let symbol = |index: usize, symbol: char| {
        tokens.get(index).is_some_and(|token| token.kind == TokenKind::Symbol(symbol))
    };
    let begins = |index: usize| {
        tokens[index].span.start >= from && tokens[index].is_word(text, "ARRAY") && symbol(index + 1, '[')
    };
    let start = (0..tokens.len()).find(|index| begins(*index))?;
    let (mut depth, mut elements, mut element) = (0_usize, Vec::new(), tokens[start + 1].span.end);
    for index in start + 1..tokens.len() {
        match tokens[index].kind {
            TokenKind::Symbol('[' | '(') => depth += 1,
            TokenKind::Symbol(',') if depth == 1 => {
                elements.push(element..tokens[index].span.start);
                element = tokens[index].span.end;
            }
            TokenKind::Symbol(']' | ')') => {
                depth -= 1;
                if depth == 0 {
                    elements.push(element..tokens[index].span.start);
                    let has_cast = |behind: usize| symbol(behind, ':') && symbol(behind + 1, ':');
                    let is_in_parentheses =
                        start > 0 && symbol(start - 1, '(') && symbol(index + 1, ')') && has_cast(index + 2);
                    return Some(Array {
                        span: tokens[start].span.start..tokens[index].span.end,
                        elements,
                        has_cast: has_cast(index + 1),
                        is_in_parentheses,
                    });
                }
            }
            _ => {}
        }
    }
    None
}

impl Array {
    /// The same array with the cast of all elements behind it; `None` if they have no common one.
    fn with_cast_outside(&self, text: &str) -> Option<String> {
        if self.has_cast {
            return None;
        }
        let mut of_all = None;
        let mut elements = Vec::with_capacity(self.elements.len());
        for element in &self.elements {
            let element = text[element.clone()].trim();
            let (value, cast) = element.split_at(last_cast(element)?);
            if *of_all.get_or_insert(cast) != cast {
                return None;
            }
            elements.push(without_parentheses(value));
        }
        Some(format!("ARRAY[{}]{}[]", elements.join(", "), of_all?))
    }
}

/// Where the last cast of an expression begins.
fn last_cast(expression: &str) -> Option<usize> {
    let tokens = lex(expression, Dialect::Postgres);
    let (mut depth, mut last) = (0_usize, None);
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol('[' | '(') => depth += 1,
            TokenKind::Symbol(']' | ')') => depth = depth.saturating_sub(1),
            TokenKind::Symbol(':') if depth == 0 => {
                let is_second = index > 0 && tokens[index - 1].kind == TokenKind::Symbol(':');
                last = if is_second { last } else { Some((index, token.span.start)) };
            }
            _ => {}
        }
    }
    let (index, start) = last?;
    // An operator behind the cast means that the cast is not that of the whole.
    let is_type = |token: &Token| {
        matches!(
            token.kind,
            TokenKind::Word
                | TokenKind::QuotedName
                | TokenKind::Symbol('(' | ')' | '[' | ']' | '.' | ',' | ':')
        )
    };
    tokens[index..].iter().all(is_type).then_some(start)
}

fn without_parentheses(value: &str) -> &str {
    let tokens = lex(value, Dialect::Postgres);
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol('(') => depth += 1,
            TokenKind::Symbol(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let is_whole = index > 0 && index + 1 == tokens.len();
            return if is_whole { value[1..value.len() - 1].trim() } else { value };
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_definitions_have_equal_texts() {
        let cases = [
            ("SELECT a,\n    b\n   FROM t;", "SELECT a, b FROM t;"),
            (" SELECT 'a\n  b' AS c;", "SELECT 'a\n  b' AS c;"),
            (
                "v::text = ANY (ARRAY['a'::character varying::text, 'b'::character varying::text])",
                "v::text = ANY (ARRAY['a'::character varying, 'b'::character varying]::text[])",
            ),
            (
                "v::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])",
                "v::text = ANY (ARRAY['a'::character varying, 'b'::character varying]::text[])",
            ),
            ("ARRAY['a'::x, 'b'::x]::text[]", "ARRAY['a'::x, 'b'::x]::text[]"),
            ("ANY ((ARRAY['a'::x, 'b'::x])::text[])", "ANY (ARRAY['a'::x, 'b'::x]::text[])"),
            ("ARRAY[1, 2]", "ARRAY[1, 2]"),
            ("ARRAY[a::text, b]", "ARRAY[a::text, b]"),
            ("ARRAY[a::int + 1, b::int + 1]", "ARRAY[a::int + 1, b::int + 1]"),
            ("f(ARRAY['a'::t]) || ARRAY['b'::t]", "f(ARRAY['a']::t[]) || ARRAY['b']::t[]"),
            ("'ARRAY[a::t]'", "'ARRAY[a::t]'"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text), expected);
        }
    }
}
