//! The tables behind FROM and JOIN.

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

/// Words that are not reserved and may follow a table and its alias.
const BEHIND: &[&str] =
    &["APPLY", "CROSS", "MATCHED", "NEXT", "OUTPUT", "PIVOT", "UNPIVOT", "USING", "WINDOW"];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        let begins = match code.word(index) {
            "JOIN" => !code.is_symbol_before(index, '.'),
            "FROM" => is_of_select(code, index),
            "AS" if code.is_name(index + 1) && code.is_in_select_list(index) => {
                faults.extend(alias(code, index + 2));
                false
            }
            _ => false,
        };
        if begins {
            faults.extend(source(code, index + 1));
        }
    }
}

/// Whether the FROM belongs to a SELECT: the words FROM of GRANT, RESTORE, FETCH and others have other rules.
fn is_of_select(code: &Code<'_>, from: usize) -> bool {
    let depth = code.depth(from);
    let mut index = from;
    while index > 0 {
        index -= 1;
        if code.depth(index) < depth || (code.is_open(index) && code.depth(index) == depth) {
            return false;
        }
        if code.depth(index) == depth {
            match code.word(index) {
                "SELECT" | "DELETE" | "UPDATE" => return code.before(from) != "DISTINCT",
                word if STARTS.contains(&word) || word == "FROM" => return false,
                _ => {}
            }
        }
    }
    false
}

/// `table [[AS] alias]`, and then no third name.
fn source(code: &Code<'_>, start: usize) -> Option<Fault> {
    let mut index = match code.close(start) {
        Some(close) => close + 1,
        None => code.behind_name(start),
    };
    // A function, or hints without WITH.
    if let Some(close) = code.close(index) {
        index = close + 1;
    }
    if index == start || code.is_symbol(index, ':') {
        return None;
    }
    index += usize::from(code.word(index) == "AS");
    if !is_plain_name(code, index) {
        return None;
    }
    index += 1;
    if index >= code.len() || code.is_symbol(index + 1, ':') {
        return None;
    }
    let is_wrong = is_plain_name(code, index)
        || code.is_number(index)
        || code.is_symbol(index, '=')
        || code.is_symbol(index, '.');
    is_wrong.then(|| {
        let message = format!("`{}` is not expected behind a table and its alias", code.shown(index));
        code.fault(
            index,
            message,
            "correct the word before it, or write the comma, JOIN or WHERE that is missing",
        )
    })
}

fn is_plain_name(code: &Code<'_>, index: usize) -> bool {
    code.is_plain_name(index) && !code.any(index, BEHIND)
}

/// `AS alias` in the list of a SELECT ends its item.
fn alias(code: &Code<'_>, behind: usize) -> Option<Fault> {
    let is_wrong = code.is_quoted(behind)
        || code.is_string(behind)
        || code.is_number(behind)
        || code.is_variable(behind)
        || code.is_plain_name(behind) && !code.any(behind, BEHIND) && !code.is_symbol(behind + 1, ':');
    is_wrong.then(|| {
        let message = format!("a comma is missing before `{}`", code.shown(behind));
        code.fault(behind, message, "write the comma, or correct the word")
    })
}
