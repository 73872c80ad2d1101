//! The heads of procedures and triggers, and variables.

use std::ops::Range;

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        let is_defined = ["CREATE", "ALTER"].contains(&code.before(index)) && code.depth(index) == 0;
        match code.word(index) {
            "PROC" | "PROCEDURE" if is_defined => faults.extend(procedure(code, index)),
            "TRIGGER" if is_defined => faults.extend(trigger(code, index)),
            "DECLARE" if code.is_variable(index + 1) && code.word(index + 3) == "DEFAULT" => {
                let help = "write = instead of DEFAULT";
                faults.push(code.fault(
                    index + 3,
                    "a variable gets its value by `=`, not by `DEFAULT`",
                    help,
                ));
            }
            "DECLARE" => faults.extend(variable(code, index + 1)),
            "SET" if code.is_variable(index + 1) => faults.extend(assignment(code, index + 2)),
            _ => {}
        }
    }
}

/// `CREATE PROCEDURE name @a int, @b int = 1 AS`
fn procedure(code: &Code<'_>, kind: usize) -> Option<Fault> {
    let start = code.behind_name(kind + 1);
    // `name;1` numbers a procedure.
    if code.is_symbol(start, ';') {
        return None;
    }
    let body = ["BEGIN", "SELECT", "INSERT", "UPDATE", "DELETE", "DECLARE", "IF"];
    let mut index = start;
    while index < code.len() {
        if let Some(close) = code.close(index) {
            index = close + 1;
            continue;
        }
        if code.word(index) == "AS" && !code.before(index).starts_with('@') {
            return parameters(code, start..index);
        }
        if code.any(index, &body) {
            let message = format!("`AS` is missing before `{}`", code.shown(index));
            return Some(code.fault(index, message, "write AS between the parameters and the body"));
        }
        index += 1;
    }
    None
}

fn parameters(code: &Code<'_>, head: Range<usize>) -> Option<Fault> {
    let end = code.find(head.clone(), &["WITH", "FOR"]).unwrap_or(head.end);
    let list = match code.close(head.start) {
        Some(close) if close + 1 == end => head.start + 1..close,
        _ => head.start..end,
    };
    code.items(list).into_iter().filter(|item| !item.is_empty()).find_map(|item| parameter(code, item))
}

fn parameter(code: &Code<'_>, item: Range<usize>) -> Option<Fault> {
    let start = item.start;
    if !code.is_variable(start) {
        let message = format!("`{}` where a parameter is expected", code.shown(start));
        return Some(code.fault(start, message, "the name of a parameter begins with @"));
    }
    let is_other = |index: &usize| code.is_variable(*index) && !code.word(*index).starts_with("@@");
    if let Some(other) = (start + 1..item.end).find(is_other) {
        let message = format!("a comma is missing before `{}`", code.shown(other));
        return Some(code.fault(other, message, "write the comma"));
    }
    let default = code.find(item, &["DEFAULT"])?;
    let help = "write = instead of DEFAULT";
    Some(code.fault(default, "a parameter gets its default by `=`, not by `DEFAULT`", help))
}

fn trigger(code: &Code<'_>, kind: usize) -> Option<Fault> {
    let behind = code.behind_name(kind + 1);
    let is_wrong = behind < code.len() && code.word(behind) != "ON";
    is_wrong.then(|| {
        let message = format!("`{}` where `ON` is expected", code.shown(behind));
        code.fault(behind, message, "write ON and the table")
    })
}

/// `DECLARE @name type`
fn variable(code: &Code<'_>, start: usize) -> Option<Fault> {
    if !code.is_variable(start) || start + 1 >= code.len() || code.is_name(start + 1) {
        return None;
    }
    let message = format!("`{}` where the type of a variable is expected", code.shown(start + 1));
    Some(code.fault(start + 1, message, "write the type behind the name"))
}

/// `SET @name = value`, `SET @name += value` and `SET @name.method(…)`
fn assignment(code: &Code<'_>, behind: usize) -> Option<Fault> {
    let signs = ['=', '+', '-', '*', '/', '%', '&', '|', '^', '.'];
    let is_wrong = behind < code.len() && !signs.iter().any(|sign| code.is_symbol(behind, *sign));
    is_wrong.then(|| {
        let message = format!("`{}` where `=` is expected", code.shown(behind));
        code.fault(behind, message, "write SET @name = value")
    })
}
