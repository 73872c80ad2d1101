//! The verbs of ALTER TABLE, and indexes.

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        match code.word(index) {
            "TABLE" if code.before(index) == "ALTER" => faults.extend(table(code, index)),
            "INDEX" if is_created(code, index) => faults.extend(index_on(code, index)),
            _ => {}
        }
    }
}

fn expected(code: &Code<'_>, index: usize, what: &str) -> Option<Fault> {
    let message = format!("`{}` where {what} is expected", code.shown(index));
    Some(code.fault(index, message, "correct the word"))
}

/// <https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql>
fn table(code: &Code<'_>, table: usize) -> Option<Fault> {
    let verbs = [
        "ADD", "ALTER", "CHECK", "DISABLE", "DROP", "ENABLE", "MERGE", "NOCHECK", "REBUILD", "SET", "SPLIT",
        "SWITCH", "WITH",
    ];
    let verb = code.behind_name(table + 1);
    if verb < code.len()
        && (code.is_word(verb) || code.is_quoted(verb) || code.is_open(verb))
        && !verbs.contains(&code.word(verb))
    {
        return expected(code, verb, "`ADD`, `ALTER`, `DROP` or another verb");
    }
    let (what, name) = (verb + 1, verb + 2);
    match code.word(verb) {
        "DROP" if code.is_word(what) && code.is_name(name) => {
            let known = ["COLUMN", "CONSTRAINT", "IF", "PERIOD"];
            let goes_on = code.any(name, STARTS) || code.word(name) == "WITH";
            if known.contains(&code.word(what)) || goes_on {
                return None;
            }
            expected(code, what, "`CONSTRAINT` or `COLUMN`")
        }
        "ALTER" if what < code.len() && !code.any(what, &["COLUMN", "INDEX"]) => {
            expected(code, what, "`COLUMN`")
        }
        "ADD" if code.word(what) == "CONSTRAINT" && code.is_name(name) && code.is_word(name + 1) => {
            let kinds = ["CHECK", "CONNECTION", "DEFAULT", "FOREIGN", "INDEX", "PRIMARY", "UNIQUE"];
            if kinds.contains(&code.word(name + 1)) {
                return None;
            }
            expected(code, name + 1, "`PRIMARY KEY`, `FOREIGN KEY`, `UNIQUE`, `CHECK` or `DEFAULT`")
        }
        _ => None,
    }
}

fn is_created(code: &Code<'_>, index: usize) -> bool {
    ["CREATE", "UNIQUE", "CLUSTERED", "NONCLUSTERED"].contains(&code.before(index)) && code.depth(index) == 0
}

/// `CREATE INDEX name ON table (columns) …`
fn index_on(code: &Code<'_>, index: usize) -> Option<Fault> {
    let on = code.behind_name(index + 1);
    if code.word(on) != "ON" {
        return if code.is_word(on) { expected(code, on, "`ON`") } else { None };
    }
    let columns = code.behind_name(on + 1);
    if code.is_quoted(columns) {
        return expected(code, columns, "`(`");
    }
    let behind = code.close(columns)? + 1;
    let tails = ["FILESTREAM_ON", "INCLUDE", "ON", "ORDER", "WHERE", "WITH"];
    if !code.is_word(behind) || tails.contains(&code.word(behind)) || code.any(behind, STARTS) {
        return None;
    }
    expected(code, behind, "`INCLUDE`, `WHERE` or `WITH`")
}
