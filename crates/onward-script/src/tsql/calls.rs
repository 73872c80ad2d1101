//! The arguments of a call.

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    // At the head of a batch the word EXEC may be left out.
    if code.is_plain_name(0) && !code.is_symbol(1, ':') {
        faults.extend(call(code, 0));
    }
    for index in 0..code.len() {
        if code.any(index, &["EXEC", "EXECUTE"]) && begins_call(code, index) {
            faults.extend(call(code, index + 1));
        }
    }
}

/// `EXECUTE AS`, the right to execute and `EXEC (…)` are none.
fn begins_call(code: &Code<'_>, index: usize) -> bool {
    let others = ["GRANT", "DENY", "REVOKE", "WITH", "FOR"];
    code.word(index + 1) != "AS"
        && !code.is_open(index + 1)
        && !others.contains(&code.before(index))
        && !code.is_symbol_before(index, ',')
        && !code.any(index + 1, &["ON", "TO", "ANY", "EXTERNAL"])
}

/// `[@result =] name [[@name =] value [OUTPUT]], …`
/// <https://learn.microsoft.com/sql/t-sql/language-elements/execute-transact-sql>
fn call(code: &Code<'_>, start: usize) -> Option<Fault> {
    let name = if code.is_variable(start) && code.is_symbol(start + 1, '=') { start + 2 } else { start };
    let mut index = code.behind_name(name);
    // `name;1` is a numbered procedure.
    if index == name || code.is_symbol(index, ';') {
        return None;
    }
    let mut is_first = true;
    loop {
        if ends(code, index) {
            return None;
        }
        if !is_first {
            if !code.is_symbol(index, ',') {
                let message = format!("`{}` where a comma is expected", code.shown(index));
                return Some(code.fault(
                    index,
                    message,
                    "write the comma between the arguments, or delete what is too much",
                ));
            }
            index += 1;
        }
        is_first = false;
        if code.is_variable(index) && code.is_symbol(index + 1, '=') {
            index += 2;
        }
        if code.is_symbol(index, '-') || code.is_symbol(index, '$') || code.is_symbol(index, '+') {
            index += 1;
        }
        // What is no value belongs to another rule.
        if index >= code.len() || !(code.is_name(index) || code.is_string(index) || code.is_number(index)) {
            return None;
        }
        let is_number = code.is_number(index);
        index += 1;
        if is_number && code.is_symbol(index, '.') {
            index += 1;
            index += usize::from(code.is_number(index));
        }
        if code.any(index, &["OUTPUT", "OUT", "READONLY"]) {
            index += 1;
        }
        if !is_number && code.is_name(index - 1) && !code.is_variable(index - 1) && code.is_symbol(index, '.')
        {
            let message = format!("`{}.` is not expected in an argument", code.shown(index - 1));
            return Some(code.fault(
                index - 1,
                message,
                "put a name of several parts in quotes, or delete what is too much",
            ));
        }
        // An exponent or a function.
        if ['.', '(', '+', '-'].iter().any(|symbol| code.is_symbol(index, *symbol)) {
            return None;
        }
    }
}

fn ends(code: &Code<'_>, index: usize) -> bool {
    index >= code.len()
        || code.is_symbol(index, ';')
        || code.is_symbol(index, ')')
        || code.is_symbol(index, ':')
        || code.is_symbol(index + 1, ':')
        || code.any(index, STARTS)
        || code.any(index, &["AT", "AS", "WITH", "UNION", "CATCH", "TRY"])
}
