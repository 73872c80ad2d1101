//! Symbols and values that cannot follow one another, whatever statement they stand in.

use super::code::Code;
use super::fault::Fault;
use super::words::{NO_OPERAND, TYPES};

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        let fault = behind_symbol(code, index)
            .or_else(|| empty_parentheses(code, index))
            .or_else(|| without_comma(code, index))
            .or_else(|| without_operator(code, index))
            .or_else(|| missing_part(code, index))
            .or_else(|| stray(code, index));
        faults.extend(fault);
    }
}

/// A comma, a dot or an operator at the start or the end of what it belongs to.
fn behind_symbol(code: &Code<'_>, index: usize) -> Option<Fault> {
    let next = index + 1;
    if next >= code.len() {
        return None;
    }
    let is_end = |index: usize| [')', ',', ';'].iter().any(|symbol| code.is_symbol(index, *symbol));
    let is_operator =
        |index: usize| ['=', '<', '>', '%', '/', '|', '&'].iter().any(|it| code.is_symbol(index, *it));
    let number_before = index.checked_sub(1).is_some_and(|before| code.is_number(before));
    // `PAD_INDEX = ON` is a value.
    let is_clause = code.any(next, NO_OPERAND) && code.word(next) != "ON";
    let is_doubled = code.is_symbol(index, '=') && code.is_symbol(next, '=');
    let wrong = is_doubled
        || (code.is_symbol(index, '=') && is_clause)
        || (code.is_symbol(index, ',') && code.is_symbol(next, '='))
        || (code.is_symbol(index, '(') && (code.is_symbol(next, ',') || is_operator(next)))
        || (is_operator(index) && is_end(next))
        || (code.is_symbol(index, '*') && code.is_symbol(next, '*'))
        || (code.is_symbol(index, '.')
            && !number_before
            && (is_end(next)
                || is_operator(next)
                || code.is_open(next)
                || code.is_string(next)
                || code.is_reserved(next)));
    wrong.then(|| {
        let message = format!("`{}` behind `{}`", code.shown(next), code.shown(index));
        code.fault(next, message, "write what is missing between them, or delete one of both")
    })
}

fn empty_parentheses(code: &Code<'_>, index: usize) -> Option<Fault> {
    if code.close(index) != Some(index + 1) {
        return None;
    }
    let before = index.checked_sub(1)?;
    let is_type = code.any(before, TYPES);
    // `GROUP BY GROUPING SETS ((a), ())`
    let is_set = || (0..index).any(|before| code.word(before) == "SETS");
    let is_alone = [',', '(', '=', '+'].iter().any(|symbol| code.is_symbol(before, *symbol)) && !is_set();
    (is_type || is_alone).then(|| {
        let help = if is_type {
            "write the length or the precision between them"
        } else {
            "write what belongs between them"
        };
        code.fault(index, "nothing between `(` and `)`", help)
    })
}

/// A variable behind a value, or a number behind a string: nothing but a comma or an operator can stand between them.
fn without_comma(code: &Code<'_>, index: usize) -> Option<Fault> {
    let next = index + 1;
    let is_value = code.is_string(index) || code.is_number(index) || code.is_variable(index);
    // `EXEC p;1 @a` calls one of several procedures of a name.
    let is_number_of_procedure = code.is_number(index) && code.is_symbol_before(index, ';');
    if !is_value || code.is_symbol_before(index, '.') || is_number_of_procedure {
        return None;
    }
    let is_top = code.before(index) == "TOP";
    let runs = code.is_variable(index) && is_called(code, index);
    let variable = code.is_variable(next) && !is_top && !runs;
    let is_label = code.is_string(next) && code.is_in_select_list(index);
    let value =
        code.is_variable(index) && (code.is_number(next) || code.is_string(next)) && !runs && !is_label;
    let numbers = code.is_number(index) && code.is_number(next) && !is_top;
    let literal = code.depth(index) > 0 && !code.is_variable(index) && code.is_number(next)
        || code.depth(index) > 0 && code.is_number(index) && code.is_string(next) && !is_select(code, index);
    (variable || value || numbers || literal).then(|| {
        let message = format!("a comma or an operator is missing before `{}`", code.shown(next));
        code.fault(next, message, "write it")
    })
}

/// Whether the parentheses around a token hold a query, in which a string may be the name of a column.
fn is_select(code: &Code<'_>, index: usize) -> bool {
    code.around(index).is_none_or(|open| code.any(open + 1, &["SELECT", "WITH"]))
}

/// Whether a variable names the procedure of a call: `EXEC @procedure`, `EXEC @result = @procedure`.
fn is_called(code: &Code<'_>, index: usize) -> bool {
    let is_call = |index: usize| ["EXEC", "EXECUTE"].contains(&code.before(index));
    let is_result =
        code.is_symbol_before(index, '=') && index > 1 && code.is_variable(index - 2) && is_call(index - 2);
    is_call(index) || is_result
}

/// `WHERE a 'x'`: a condition whose operator is missing.
fn without_operator(code: &Code<'_>, index: usize) -> Option<Fault> {
    let begins = code.any(index, &["WHERE", "HAVING", "ON", "OR"])
        || code.word(index) == "AND" && !is_of_between(code, index);
    let is_operand = code.is_name(index + 1) && !code.is_reserved(index + 1);
    if !begins || !is_operand || code.word(index + 1) == "CONVERSATION" {
        return None;
    }
    let behind = code.behind_name(index + 1);
    let is_wrong = code.is_string(behind) || code.is_number(behind) || code.is_variable(behind);
    is_wrong.then(|| {
        let message = format!("an operator is missing before `{}`", code.shown(behind));
        code.fault(behind, message, "write it")
    })
}

/// Whether an AND is the one of `BETWEEN … AND …`, behind which an alias may stand.
fn is_of_between(code: &Code<'_>, and: usize) -> bool {
    let before = (0..and).rev().filter(|index| code.depth(*index) == code.depth(and));
    let mut words = before.map(|index| code.word(index));
    let ends = ["AND", "BETWEEN", "HAVING", "IF", "ON", "OR", "SELECT", "WHEN", "WHERE", "WHILE"];
    words.find(|word| ends.contains(word)) == Some("BETWEEN")
}

/// `a. .b`, and a name that begins with a dot where a column is meant.
fn missing_part(code: &Code<'_>, index: usize) -> Option<Fault> {
    if !code.is_symbol(index, '.') {
        return None;
    }
    let clauses = ["AND", "BY", "HAVING", "OR", "SELECT", "THEN", "WHEN", "WHERE"];
    // `.table.column` leaves the schema out.
    let is_alone = code.is_name(index + 1) && !code.is_symbol(index + 2, '.');
    if clauses.contains(&code.before(index)) && is_alone {
        return Some(code.fault(
            index,
            "a name begins with a dot",
            "write the part that is missing, or delete the dot",
        ));
    }
    let is_apart = code.is_symbol(index + 1, '.') && !code.is_adjacent(index);
    let begins = [',', '(', '=', '<', '>'].iter().any(|symbol| code.is_symbol_before(index, *symbol));
    let is_column = begins && is_alone;
    (is_apart || is_column).then(|| {
        let message = if is_apart {
            "a part of the name is missing between two dots"
        } else {
            "a name begins with a dot"
        };
        let fault = code.fault(index, message, "write the part that is missing, or delete the dot");
        // In the name of a table the schema may be left out.
        Fault {
            is_doubtful: is_apart || code.is_symbol_before(index, ',') || code.is_symbol_before(index, '('),
            ..fault
        }
    })
}

/// A semicolon inside parentheses, a single colon, FOR without its word, and a name with a value behind another without a comma.
fn stray(code: &Code<'_>, index: usize) -> Option<Fault> {
    if code.is_symbol(index, ';') && code.depth(index) > 0 && !is_provider(code, index) {
        return Some(code.fault(
            index,
            "`;` inside parentheses",
            "delete it, or close the parentheses before it",
        ));
    }
    let is_single =
        code.is_symbol(index, ':') && !code.is_symbol(index + 1, ':') && !code.is_symbol_before(index, ':');
    if is_single && index > 1 && code.word(index - 2) == "ON" {
        return Some(code.fault(
            index,
            "`:` where `::` is expected",
            "write DATABASE::name, SCHEMA::name, …",
        ));
    }
    if code.are(index, &["FOR", "AS"]) {
        return Some(code.fault(index, "`FOR AS` is not T-SQL", "write FOR SYSTEM_TIME AS OF"));
    }
    let is_value = code.is_string(index) || code.is_number(index) && code.before(index) != "TOP";
    let named =
        is_value && code.is_word(index + 1) && !code.is_reserved(index + 1) && code.is_symbol(index + 2, '=');
    let is_condition = code.is_variable(index + 1);
    (named && !is_condition).then(|| {
        let message = format!("a comma is missing before `{}`", code.shown(index + 1));
        code.fault(index + 1, message, "write the comma")
    })
}

/// `OPENROWSET('provider'; 'user'; 'password')`
fn is_provider(code: &Code<'_>, index: usize) -> bool {
    (0..index).rev().any(|before| code.any(before, &["OPENROWSET", "OPENDATASOURCE"]))
}
