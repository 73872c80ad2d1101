//! What other databases understand, with the T-SQL for it.

use super::code::Code;
use super::fault::Fault;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in 0..code.len() {
        faults.extend(foreign(code, index).map(|(at, message, help)| code.fault(at, message, help)));
    }
    faults.extend(unended_merge(code));
}

fn foreign(code: &Code<'_>, index: usize) -> Option<(usize, &'static str, &'static str)> {
    let creates = ["TABLE", "INDEX", "VIEW", "SCHEMA", "SEQUENCE"];
    match code.word(index) {
        "CREATE" if code.any(index + 1, &creates) && code.are(index + 2, &["IF", "NOT", "EXISTS"]) => Some((
            index + 2,
            "`IF NOT EXISTS` is not T-SQL here",
            "write IF OBJECT_ID(N'…') IS NULL before the statement",
        )),
        "CREATE" if code.are(index + 1, &["OR", "REPLACE"]) => {
            Some((index + 2, "`OR REPLACE` is not T-SQL", "write CREATE OR ALTER"))
        }
        "ADD" if code.word(index + 1) == "COLUMN" && !code.is_symbol_before(index, '.') => {
            Some((index + 1, "`ADD COLUMN` is not T-SQL", "write ADD without COLUMN"))
        }
        "LIMIT" if is_number(code, index + 1) => {
            Some((index, "`LIMIT` is not T-SQL", "write SELECT TOP (n), or OFFSET … FETCH"))
        }
        "COLUMN"
            if code.before(index) == "ALTER" && code.any(code.behind_name(index + 1), &["SET", "TYPE"]) =>
        {
            let help = "write ALTER COLUMN with the name, the type and NULL or NOT NULL";
            Some((code.behind_name(index + 1), "this form of `ALTER COLUMN` is not T-SQL", help))
        }
        _ if code.is_symbol(index, '`') => {
            Some((index, "a backquote is not T-SQL", "put a name in brackets: [name]"))
        }
        _ => None,
    }
}

fn is_number(code: &Code<'_>, index: usize) -> bool {
    let word = code.word(index);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// <https://learn.microsoft.com/sql/t-sql/statements/merge-transact-sql>
fn unended_merge(code: &Code<'_>) -> Option<Fault> {
    let begins = |index: usize| {
        index == 0
            || code.is_symbol_before(index, ';')
            || code.is_symbol_before(index, ')')
            || ["BEGIN", "AS", "ELSE"].contains(&code.before(index))
    };
    let others = ["JOIN", "UNION", "REPLICATION", "AGGREGATE"];
    let merge = (0..code.len()).find(|index| {
        code.word(*index) == "MERGE"
            && code.depth(*index) == 0
            && begins(*index)
            && code.is_name(index + 1)
            && !code.any(index + 1, &others)
    })?;
    let is_ended = (merge..code.len()).any(|index| code.is_symbol(index, ';'));
    (!is_ended).then(|| code.fault(merge, "`MERGE` is not ended by `;`", "write a `;` behind it"))
}
