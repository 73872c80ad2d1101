//! Rows that are written: the columns of an INSERT, VALUES, and the SET of an UPDATE.

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        match code.word(index) {
            "INTO" if code.before(index) == "INSERT" => faults.extend(target(code, index + 1)),
            "INSERT" if is_insert_without_into(code, index) => faults.extend(target(code, index + 1)),
            "VALUES" if code.before(index) != "INCREMENT" => faults.extend(between_rows(code, index + 1)),
            "UPDATE" => faults.extend(without_set(code, index)),
            _ => {}
        }
    }
}

/// `INSERT name (`, and not the event of a trigger or a right.
fn is_insert_without_into(code: &Code<'_>, index: usize) -> bool {
    let not_names = ["INTO", "ON", "OF", "AS", "TOP", "UPDATE", "DELETE", "BULK"];
    let others = ["AFTER", "OF", "FOR", "GRANT", "DENY", "THEN", "REVOKE", "TRIGGER"];
    code.depth(index) == 0
        && code.is_name(index + 1)
        && !code.any(index + 1, &not_names)
        && !others.contains(&code.before(index))
        && !code.is_symbol_before(index, ',')
}

/// The columns behind the name of a table, and what follows them.
fn target(code: &Code<'_>, name: usize) -> Option<Fault> {
    let open = code.behind_name(name);
    if code.any(open + 1, &["SELECT", "WITH"]) || code.is_open(open + 1) {
        return None;
    }
    let close = code.close(open)?;
    for column in code.items(open + 1..close) {
        if column.len() > 1 && column.clone().all(|index| code.is_name(index)) {
            let second = column.start + 1;
            let message = format!("a comma is missing before `{}`", code.shown(second));
            return Some(code.fault(second, message, "write the comma"));
        }
    }
    let expected = ["VALUES", "SELECT", "EXEC", "EXECUTE", "DEFAULT", "WITH", "OUTPUT", "MERGE", "RESERVED"];
    let behind = close + 1;
    let is_wrong = behind < code.len() && !code.any(behind, &expected) && !code.is_open(behind);
    is_wrong.then(|| {
        let message = format!("`{}` where `VALUES`, `SELECT` or `EXEC` is expected", code.shown(behind));
        code.fault(behind, message, "write what the rows are")
    })
}

/// `VALUES (…) (…)`, and rows of different lengths.
fn between_rows(code: &Code<'_>, first: usize) -> Option<Fault> {
    let mut open = first;
    let mut columns = None;
    loop {
        let close = code.close(open)?;
        let count = code.items(open + 1..close).len();
        if *columns.get_or_insert(count) != count {
            let message = format!("a row of {count} values behind one of {}", columns.unwrap_or_default());
            return Some(code.fault(open, message, "write as many values in each row"));
        }
        if code.is_open(close + 1) {
            let help = "write the comma";
            return Some(code.fault(close + 1, "a comma is missing between two rows", help));
        }
        if !code.is_symbol(close + 1, ',') || !code.is_open(close + 2) {
            return None;
        }
        open = close + 2;
    }
}

/// <https://learn.microsoft.com/sql/t-sql/queries/update-transact-sql>
fn without_set(code: &Code<'_>, update: usize) -> Option<Fault> {
    let begins =
        update == 0 || code.is_symbol_before(update, ';') || ["BEGIN", "ELSE"].contains(&code.before(update));
    if !begins || code.depth(update) > 0 || code.any(update + 1, &["STATISTICS", "TOP"]) {
        return None;
    }
    let behind = code.behind_name(update + 1);
    let is_wrong =
        behind > update + 1 && code.is_name(behind) && !code.any(behind, &["SET", "WITH", "OUTPUT", "FROM"]);
    is_wrong.then(|| {
        let message = format!("`{}` where `SET` is expected", code.shown(behind));
        code.fault(behind, message, "write UPDATE table SET column = value")
    })
}
