//! Commas.

use super::code::Code;
use super::columns;
use super::fault::Fault;

/// Words before which no list goes on.
const ENDS: &[&str] = &[
    "AS",
    "BEGIN",
    "ELSE",
    "END",
    "EXCEPT",
    "FROM",
    "GROUP",
    "HAVING",
    "INNER",
    "INTERSECT",
    "INTO",
    "JOIN",
    "ON",
    "OPTION",
    "ORDER",
    "SET",
    "THEN",
    "UNION",
    "VALUES",
    "WHEN",
    "WHERE",
];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in (0..code.len()).filter(|index| code.is_symbol(*index, ',')) {
        let next = index + 1;
        let wrong = if next == code.len() {
            Some("a comma at the end of the batch".to_owned())
        } else if code.is_symbol(next, ',') {
            Some("two commas".to_owned())
        } else if code.is_symbol(next, ';') {
            Some("a comma before `;`".to_owned())
        } else if code.is_symbol(next, ')') {
            (!in_columns(code, next)).then(|| "a comma before `)`".to_owned())
        } else {
            code.any(next, ENDS).then(|| format!("a comma before `{}`", code.shown(next)))
        };
        faults.extend(wrong.map(|message| {
            code.fault(index, message, "delete the comma, or write what is missing behind it")
        }));
    }
}

/// The list of a table's columns may end with a comma.
fn in_columns(code: &Code<'_>, close: usize) -> bool {
    let Some(open) = code.open(close) else { return false };
    (open.saturating_sub(8)..open).any(|table| columns::list_of(code, table) == Some(open))
}
