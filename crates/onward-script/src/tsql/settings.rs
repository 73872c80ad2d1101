//! `SET option ON`.
//! <https://learn.microsoft.com/sql/t-sql/statements/set-statements-transact-sql>

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

/// Options that are on or off.
const SWITCHES: &[&str] = &[
    "ANSI_DEFAULTS",
    "ANSI_NULLS",
    "ANSI_NULL_DFLT_OFF",
    "ANSI_NULL_DFLT_ON",
    "ANSI_PADDING",
    "ANSI_WARNINGS",
    "ARITHABORT",
    "ARITHIGNORE",
    "CONCAT_NULL_YIELDS_NULL",
    "CURSOR_CLOSE_ON_COMMIT",
    "FMTONLY",
    "FORCEPLAN",
    "IMPLICIT_TRANSACTIONS",
    "NOCOUNT",
    "NOEXEC",
    "NUMERIC_ROUNDABORT",
    "PARSEONLY",
    "QUOTED_IDENTIFIER",
    "SHOWPLAN_ALL",
    "SHOWPLAN_TEXT",
    "SHOWPLAN_XML",
    "XACT_ABORT",
];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        if code.word(index) == "SET" {
            faults.extend(without_value(code, index));
        } else if code.any(index, &["NOCOUNT", "XACT_ABORT"]) {
            faults.extend(without_set(code, index));
        }
    }
}

/// `SET NOCOUNT`, `SET NOCOUNT O`
fn without_value(code: &Code<'_>, set: usize) -> Option<Fault> {
    let mut index = set + 1;
    while code.any(index, SWITCHES) && code.is_symbol(index + 1, ',') {
        index += 2;
    }
    let value = index + 1;
    // `UPDATE t SET noexec.a = 1`, `SET noexec += 1`: a table and a column may have these names.
    let ends = value >= code.len() || code.is_symbol(value, ';') || code.is_name(value);
    let is_wrong = code.any(index, SWITCHES) && !code.any(value, &["ON", "OFF"]) && ends;
    is_wrong.then(|| {
        let option = code.word(index);
        code.fault(index, format!("`{option}` without `ON` or `OFF`"), format!("write SET {option} ON"))
    })
}

/// `NOCOUNT ON` without its SET
fn without_set(code: &Code<'_>, option: usize) -> Option<Fault> {
    let is_set = code.before(option) == "SET" || code.is_symbol_before(option, ',');
    let behind = option + 2;
    let ends = behind >= code.len() || code.is_symbol(behind, ';') || code.any(behind, STARTS);
    // `JOIN u nocount ON nocount.a = t.a` goes on.
    let is_wrong = !is_set && code.any(option + 1, &["ON", "OFF"]) && ends;
    is_wrong.then(|| {
        let option_name = code.word(option);
        let message = format!("`{option_name}` without `SET`");
        code.fault(option, message, format!("write SET {option_name} ON"))
    })
}
