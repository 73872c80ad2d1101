//! The columns of a table.

use std::ops::Range;

use super::code::Code;
use super::fault::Fault;

/// Words that begin an item of the list which is no column.
const CONSTRAINTS: &[&str] =
    &["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "CONNECTION", "INDEX", "PERIOD", "LIKE"];

/// Words that may stand behind the type of a column.
const WORDS: &[&str] = &[
    "ACTION",
    "ALL_SPARSE_COLUMNS",
    "ALWAYS",
    "AS",
    "ASC",
    "CASCADE",
    "CHECK",
    "CLUSTERED",
    "COLLATE",
    "COLUMNSTORE",
    "COLUMN_SET",
    "CONSTRAINT",
    "DEFAULT",
    "DELETE",
    "DESC",
    "ENCRYPTED",
    "END",
    "FILESTREAM",
    "FILLFACTOR",
    "FOR",
    "FOREIGN",
    "GENERATED",
    "HASH",
    "HIDDEN",
    "IDENTITY",
    "INCLUDE",
    "INDEX",
    "KEY",
    "MASKED",
    "NO",
    "NONCLUSTERED",
    "NOT",
    "NULL",
    "ON",
    "PAD_INDEX",
    "PERSISTED",
    "PRECISION",
    "PRIMARY",
    "REFERENCES",
    "REPLICATION",
    "ROW",
    "ROWGUIDCOL",
    "SEQUENCE_NUMBER",
    "SET",
    "SPARSE",
    "START",
    "TRANSACTION_ID",
    "UNIQUE",
    "UPDATE",
    "VALUES",
    "VARYING",
    "WHERE",
    "WITH",
];

/// Words behind which a name or a value stands.
const BEFORE_NAME: &[&str] =
    &["AS", "COLLATE", "CONSTRAINT", "DEFAULT", "FOR", "INDEX", "ON", "PERSISTED_ON", "REFERENCES", "WITH"];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        if let Some(open) = list_of(code, index)
            && let Some(close) = code.close(open)
        {
            let columns = code.items(open + 1..close);
            faults.extend(columns.into_iter().filter_map(|column| wrong_column(code, column)));
        }
        faults.extend(key_without_reference(code, index));
        faults.extend(split_reference(code, index));
    }
}

/// The parenthesis of the columns of `CREATE TABLE name (`, `DECLARE @t TABLE (`, `AS TABLE (` and `RETURNS @t TABLE (`.
pub(super) fn list_of(code: &Code<'_>, table: usize) -> Option<usize> {
    if code.word(table) != "TABLE" || table == 0 {
        return None;
    }
    let open = match code.before(table) {
        "CREATE" => code.behind_name(table + 1),
        "AS" | "RETURNS" => table + 1,
        variable if variable.starts_with('@') => table + 1,
        _ => return None,
    };
    code.is_open(open).then_some(open)
}

fn wrong_column(code: &Code<'_>, column: Range<usize>) -> Option<Fault> {
    let Range { start, end } = column;
    if start == end {
        return None;
    }
    if !code.is_name(start) {
        let message = format!("`{}` where the name of a column is expected", code.shown(start));
        return Some(code.fault(start, message, "write the name, or delete what is too much"));
    }
    if code.any(start, CONSTRAINTS) {
        return wrong_constraint(code, start, end);
    }
    if start + 1 == end {
        let is_wrong = code.word(start) != "TIMESTAMP" && !code.is_variable(start);
        let message = format!("the column `{}` has no type", code.shown(start));
        return is_wrong.then(|| code.fault(start, message, "write its type, or delete the comma behind it"));
    }
    if code.is_open(start + 1) {
        let message = format!("the column `{}` has no type", code.shown(start));
        return Some(code.fault(start, message, "write its type before the parenthesis"));
    }
    let types = ["AS", "DOUBLE", "NATIONAL"];
    if code.is_reserved(start + 1) && !code.any(start + 1, &types) {
        let message = format!("`{}` where the type of a column is expected", code.shown(start + 1));
        return Some(code.fault(start + 1, message, "write the name of the column and its type"));
    }
    if code.word(start + 1) == "AS" {
        return None;
    }
    let behind_type = code.behind_name(start + 1);
    let mut index = code.close(behind_type).map_or(behind_type, |close| close + 1);
    let mut has_expression = false;
    while index < end {
        if let Some(close) = code.close(index) {
            index = close + 1;
            continue;
        }
        has_expression |= code.any(index, &["DEFAULT", "AS", "WITH"]);
        if code.is_symbol(index, '=') && !has_expression && !code.is_symbol_before(index, ')') {
            let help = "write DEFAULT, and the value behind it";
            return Some(code.fault(index, "a column gets its value by `DEFAULT`, not by `=`", help));
        }
        if code.word(index) == "NOT" && !code.any(index + 1, &["NULL", "FOR"]) {
            return Some(code.fault(index, "`NOT` without `NULL`", "write NOT NULL"));
        }
        if is_unexpected(code, index) {
            let message = format!("`{}` is not expected in a column", code.shown(index));
            return Some(code.fault(
                index,
                message,
                "correct the word, or write the comma that is missing before it",
            ));
        }
        index += 1;
    }
    None
}

/// `[CONSTRAINT name] PRIMARY KEY (…)`
fn wrong_constraint(code: &Code<'_>, start: usize, end: usize) -> Option<Fault> {
    let kinds = ["CHECK", "CONNECTION", "DEFAULT", "FOREIGN", "INDEX", "NOT", "NULL", "PRIMARY", "UNIQUE"];
    let kind = if code.word(start) == "CONSTRAINT" { code.behind_name(start + 1) } else { start };
    if kind < end && code.word(start) == "CONSTRAINT" && !code.any(kind, &kinds) {
        let message = format!("`{}` where the kind of a constraint is expected", code.shown(kind));
        return Some(code.fault(kind, message, "write PRIMARY KEY, FOREIGN KEY, UNIQUE or CHECK"));
    }
    let tails = ["FILESTREAM_ON", "FILLFACTOR", "NOT", "ON", "WITH"];
    let keys = code.any(kind, &["PRIMARY", "UNIQUE"]);
    let list = (kind..end).find(|index| code.is_open(*index)).filter(|_| keys)?;
    let behind = code.close(list)? + 1;
    let is_wrong = behind < end && !code.any(behind, &tails);
    is_wrong.then(|| {
        let message = format!("`{}` is not expected behind the columns of a key", code.shown(behind));
        code.fault(behind, message, "write a comma before what follows, or delete it")
    })
}

fn is_unexpected(code: &Code<'_>, index: usize) -> bool {
    let is_value = ['.', '=', '+', '-', '*', '/'].iter().any(|symbol| code.is_symbol_before(index, *symbol));
    if is_value || BEFORE_NAME.contains(&code.before(index)) || code.is_symbol(index + 1, '.') {
        return false;
    }
    code.is_quoted(index) || code.is_word(index) && !code.any(index, WORDS)
}

/// `REFERENCES schema table`
fn split_reference(code: &Code<'_>, references: usize) -> Option<Fault> {
    if code.word(references) != "REFERENCES" || !code.is_name(references + 1) {
        return None;
    }
    let behind = code.behind_name(references + 1);
    code.is_quoted(behind).then(|| {
        let message = format!("`{}` is not expected behind the table", code.shown(behind));
        code.fault(
            behind,
            message,
            "write the dot between schema and table, or the parenthesis before a column",
        )
    })
}

fn key_without_reference(code: &Code<'_>, key: usize) -> Option<Fault> {
    let is_foreign = code.word(key) == "KEY" && code.before(key) == "FOREIGN";
    let behind = code.close(key + 1).filter(|_| is_foreign)? + 1;
    let is_wrong = behind < code.len() && code.word(behind) != "REFERENCES";
    is_wrong.then(|| {
        let message = format!("`{}` where `REFERENCES` is expected", code.shown(behind));
        code.fault(behind, message, "write REFERENCES and the table")
    })
}
