//! Keywords that stand twice, or without what belongs behind them.

use super::code::Code;
use super::fault::Fault;
use super::words::{NO_OPERAND, TYPES};

/// Reserved words that may stand twice in a row.
const REPEATED: &[&str] = &[
    "BEGIN",
    "BREAK",
    "CASE",
    "CHECK",
    "CHECKPOINT",
    "COMMIT",
    "CONTINUE",
    "END",
    "NOT",
    "NULL",
    "OFF",
    "RECONFIGURE",
    "RETURN",
    "REVERT",
    "ROLLBACK",
    "USER",
];

/// Words that are not reserved and never stand twice in a row.
const KEYWORDS: &[&str] = &[
    "BIGINT",
    "BIT",
    "DATE",
    "DATETIME",
    "ENCRYPTED",
    "INCREMENT",
    "INT",
    "MATCHED",
    "MONEY",
    "OUTPUT",
    "OWNER",
    "SERVICE",
    "SMALLINT",
    "START",
    "SYSTEM_TIME",
    "TINYINT",
];

/// Words behind which an operand stands: a condition, a name, a list.
const NEED_OPERAND: &[&str] = &[
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "COLLATE",
    "CONSTRAINT",
    "DECLARE",
    "EXEC",
    "EXECUTE",
    "FROM",
    "HAVING",
    "IN",
    "INTO",
    "IS",
    "JOIN",
    "LIKE",
    "OR",
    "REFERENCES",
    "SELECT",
    "SET",
    "THEN",
    "TOP",
    "UPDATE",
    "VALUES",
    "WHEN",
    "WHERE",
];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        faults.extend(repeated(code, index).or_else(|| without_operand(code, index)));
    }
}

fn repeated(code: &Code<'_>, index: usize) -> Option<Fault> {
    let word = code.word(index);
    let is_right = code.is_symbol_before(index, ',')
        || code.is_symbol(index + 2, ',')
        || ["GRANT", "DENY", "REVOKE"].contains(&code.before(index));
    // A column may have the name of its type.
    let is_column = !code.is_reserved(index)
        && (code.is_symbol_before(index, '(') || ["ADD", "COLUMN"].contains(&code.before(index)));
    let is_keyword = code.is_reserved(index) || code.any(index, KEYWORDS) || code.any(index, TYPES);
    // `IGNORE_DUP_KEY = ON ON [PRIMARY]`
    let may_repeat = REPEATED.contains(&word) || word == "ON" && code.is_symbol_before(index, '=');
    let is_twice = is_keyword && word == code.word(index + 1) && !may_repeat && !is_right && !is_column;
    is_twice.then(|| code.fault(index + 1, format!("`{word}` twice"), "delete one of both"))
}

fn without_operand(code: &Code<'_>, index: usize) -> Option<Fault> {
    if !code.any(index, NEED_OPERAND) || code.is_symbol_before(index, '.') || is_allowed(code, index) {
        return None;
    }
    let next = index + 1;
    let word = code.word(index);
    let ends = next == code.len() || [')', ',', ';', '='].iter().any(|symbol| code.is_symbol(next, *symbol));
    let is_wrong = ends || code.any(next, NO_OPERAND);
    is_wrong.then(|| {
        let (at, what) = match next == code.len() {
            true => (index, "the end of the batch".to_owned()),
            false => (next, format!("`{}`", code.shown(next))),
        };
        code.fault(at, format!("{what} behind `{word}`"), format!("write what belongs behind {word}"))
    })
}

/// What is legal all the same: `GRANT SELECT, UPDATE ON`, `AFTER INSERT, UPDATE AS`, `IF UPDATE (c)`, `ON UPDATE SET NULL`,
/// `DEFAULT VALUES`, `INSERT … EXEC`, `IS DISTINCT FROM`.
fn is_allowed(code: &Code<'_>, index: usize) -> bool {
    let (word, next) = (code.word(index), index + 1);
    match word {
        // The body of a procedure may begin with an empty statement.
        "AS" => code.is_symbol(next, ';'),
        "VALUES" => code.before(index) == "DEFAULT" || !code.is_name(next),
        "SELECT" | "UPDATE" | "EXECUTE" | "EXEC" | "REFERENCES" => {
            let lists = ["GRANT", "DENY", "REVOKE", "FOR", "AFTER", "OF"];
            code.any(next, &["ON", "TO", "AS", "IN", "OR"])
                || code.is_symbol(next, ')')
                || code.is_symbol_before(index, ',')
                || lists.contains(&code.before(index))
        }
        "SET" => code.is_symbol(next, ')') || code.is_symbol(next, ','),
        "JOIN" => ["LOOP", "HASH", "MERGE"].contains(&code.before(index)),
        "BY" => code.is_symbol(next, '='),
        "FROM" => code.any(next, &["VALUES"]),
        "OR" => code.before(index) == "CREATE" || code.is_symbol_before(index, '('),
        _ => false,
    }
}
