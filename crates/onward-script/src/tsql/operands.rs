//! Two operands in a row, between which a comma, a dot or an operator is missing.

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 1..code.len().saturating_sub(1) {
        let next = index + 1;
        let is_wrong = is_dotted_behind(code, index)
            || is_assigned_behind(code, index)
            || is_variable_behind(code, index)
            || is_item_behind(code, index)
            || is_length_behind(code, index);
        if is_wrong {
            let message = format!("a comma or an operator is missing before `{}`", code.shown(next));
            faults.push(code.fault(next, message, "write it, or delete what is too much"));
        }
        if is_word_behind_star(code, index) {
            let message = format!("`{}` behind `*`", code.shown(next));
            faults.push(code.fault(
                next,
                message,
                "write FROM, INTO or a comma before it, or correct the word",
            ));
        }
    }
}

/// Whether a token ends a name of several parts.
fn ends_dotted(code: &Code<'_>, index: usize) -> bool {
    code.is_plain_name(index) && code.is_symbol_before(index, '.') && code.start_of_name(index) + 1 < index
}

/// `a.b c.d`: behind a column or a closed parenthesis no other column can stand.
fn is_dotted_behind(code: &Code<'_>, index: usize) -> bool {
    let next = index + 1;
    let is_dotted = code.is_plain_name(next) && code.is_symbol(next + 1, '.');
    let is_top = |open: usize| code.before(open) == "TOP";
    is_dotted
        && !code.any(next, &["OUTPUT", "USING", "APPLY", "AT"])
        && (ends_dotted(code, index)
            || code.open(index).is_some_and(|open| !is_top(open) && is_condition(code, index)))
}

/// Whether a token stands in a condition: behind WHERE, ON, AND or OR, before anything that ends it.
fn is_condition(code: &Code<'_>, at: usize) -> bool {
    let depth = code.depth(at);
    let mut before = (0..at).rev().filter(|index| code.depth(*index) <= depth);
    let words = ["WHERE", "HAVING", "AND", "OR", "ON", "WHEN", "SELECT", "FROM", "SET", "THEN", "ELSE", "BY"];
    let found = before.find(|index| code.any(*index, &words));
    found.is_some_and(|index| code.any(index, &["WHERE", "HAVING", "AND", "OR"]))
}

/// `= @a b = …`, `= a.b c = …`, `= f(1) c = …`: the list of an UPDATE without a comma.
fn is_assigned_behind(code: &Code<'_>, index: usize) -> bool {
    let next = index + 1;
    let is_value = code.is_variable(index) && code.is_symbol_before(index, '=')
        || ends_dotted(code, index)
        || code.open(index).is_some_and(|open| code.before(open) != "TOP");
    is_value && code.is_plain_name(next) && code.is_symbol(next + 1, '=')
}

/// `(a ASC [b])`, `INCLUDE (a b)`, `GROUP BY a b, c`, `WITH (a int '$.a' b int)`: a list without a comma.
fn is_item_behind(code: &Code<'_>, index: usize) -> bool {
    let next = index + 1;
    if code.any(index, &["ASC", "DESC"]) {
        return code.is_quoted(next);
    }
    if code.is_string(index) && code.is_plain_name(next) {
        return before_list(code, index) == Some("WITH");
    }
    if !code.is_plain_name(index) || !code.is_plain_name(next) {
        return false;
    }
    let is_zone = code.word(index) == "ZONE" || code.are(next, &["AT", "TIME"]);
    before_list(code, index) == Some("INCLUDE")
        || code.is_symbol(next + 1, ',') && !is_zone && is_grouped(code, index)
}

/// The word before the parenthesis that a token stands in.
fn before_list<'a>(code: &'a Code<'_>, index: usize) -> Option<&'a str> {
    code.around(index).map(|open| code.before(open))
}

/// Whether a token stands in the list behind GROUP BY.
fn is_grouped(code: &Code<'_>, at: usize) -> bool {
    let depth = code.depth(at);
    let mut before = (0..at).rev().filter(|index| code.depth(*index) <= depth);
    before.find(|index| code.is_reserved(*index)).is_some_and(|index| {
        code.word(index) == "BY" && code.before(index) == "GROUP" && code.depth(index) == depth
    })
}

/// `a.b @c`, `[b] @c`, unless it calls or defines a procedure.
fn is_variable_behind(code: &Code<'_>, index: usize) -> bool {
    if !code.is_variable(index + 1) || !(ends_dotted(code, index) || code.is_quoted(index)) {
        return false;
    }
    let start = code.start_of_name(index);
    let is_called = start == 0
        || ["EXEC", "EXECUTE", "PROC", "PROCEDURE"].contains(&code.before(start))
        || code.is_symbol_before(start, '=')
            && start > 2
            && ["EXEC", "EXECUTE"].contains(&code.word(start - 3))
        || code.is_symbol_before(start, ';');
    !is_called
}

/// `@a (7)`: a variable whose type is missing.
fn is_length_behind(code: &Code<'_>, index: usize) -> bool {
    let open = index + 1;
    let is_length = code.is_number(open + 1) || code.word(open + 1) == "MAX";
    // A table may have a column of the name MAX.
    let is_table = ["INTO", "INSERT"].contains(&code.before(index));
    code.is_variable(index)
        && !is_table
        && code.is_open(open)
        && is_length
        && code.close(open) == Some(open + 2)
}

/// `SELECT * name`: all columns have no alias.
fn is_word_behind_star(code: &Code<'_>, index: usize) -> bool {
    let is_all = code.is_symbol(index, '*')
        && (["SELECT", "DISTINCT", "ALL"].contains(&code.before(index))
            || code.is_symbol_before(index, '.') && index > 1 && code.is_plain_name(index - 2)
            || code.is_symbol_before(index, ',')
            || code.open(index - 1).is_some_and(|open| code.before(open) == "TOP"));
    // A label is a statement.
    is_all && code.is_plain_name(index + 1) && !code.is_symbol(index + 2, ':')
}
