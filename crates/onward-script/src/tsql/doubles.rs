//! A name or a value that stands twice where it can stand once.

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len().saturating_sub(1) {
        if is_doubled_name(code, index) || is_doubled_value(code, index) {
            let message = format!("`{}` twice", code.shown(index + 1));
            faults.push(code.fault(
                index + 1,
                message,
                "delete one of both, or write what belongs between them",
            ));
        }
    }
}

/// `a a.b`, `a a = 1`, `f f(1)`, `@a type type`. A table and a column may have an alias of their own name, so what follows decides.
fn is_doubled_name(code: &Code<'_>, index: usize) -> bool {
    let (next, behind) = (index + 1, index + 2);
    if !code.is_plain_name(index) || !code.is_plain_name(next) || code.shown(index) != code.shown(next) {
        return false;
    }
    let operators = ['.', '=', '<', '>', '+', '-', '*', '/', '%'];
    operators.iter().any(|symbol| code.is_symbol(behind, *symbol))
        || code.any(behind, &["AS", "BETWEEN", "IN", "IS", "LIKE", "READONLY"])
        || code.are(behind, &["NOT", "IN"])
        || code.are(behind, &["NOT", "LIKE"])
        || code.is_symbol(behind, ')') && code.is_symbol_before(index, '.') && !is_in_query(code, index)
        || code.is_open(behind) && is_in_expression(code, index)
        || index > 0 && code.is_variable(index - 1)
}

/// Whether the parentheses around a token hold a query, or the tables of a join.
fn is_in_query(code: &Code<'_>, index: usize) -> bool {
    let words = ["SELECT", "WITH", "JOIN", "APPLY", "OUTPUT"];
    code.around(index).is_none_or(|open| code.find(open..index, &words).is_some())
}

/// Whether a name begins an operand. A column may have the name of its type, and a table old hints: `FROM t t (NOLOCK)`.
fn is_in_expression(code: &Code<'_>, index: usize) -> bool {
    let start = code.start_of_name(index);
    let words =
        ["AND", "ELSE", "HAVING", "IF", "NOT", "OR", "RETURN", "SELECT", "THEN", "WHEN", "WHERE", "WHILE"];
    words.contains(&code.before(start))
        || ['=', '<', '>', '+', '-', '*', '/'].iter().any(|symbol| code.is_symbol_before(start, *symbol))
}

/// `'x' 'x'` between the parentheses of a call, behind `=` and behind PRINT; `= NULL NULL`, `IS NOT NULL NULL`.
fn is_doubled_value(code: &Code<'_>, index: usize) -> bool {
    let next = index + 1;
    if code.word(index) == "NULL" && code.word(next) == "NULL" {
        let is_tested = code.before(index) == "IS"
            || code.before(index) == "NOT" && index > 1 && code.word(index - 2) == "IS";
        return code.is_symbol_before(index, '=') || is_tested;
    }
    if !(code.is_string(index) && code.is_string(next)) {
        return false;
    }
    let is_argument = code.depth(index) > 0 && !is_in_query(code, index);
    let is_set = code.is_symbol_before(index, '=') && !code.is_in_select_list(index);
    is_argument || is_set || code.before(index) == "PRINT"
}
