//! Where statements begin: what must be first in its batch, kinds of objects, and words that begin nothing.

use super::code::Code;
use super::fault::Fault;
use super::words::{KINDS, RESERVED, STARTS, VERBS};
use crate::near::is_near;

/// Each must be the first statement of its batch.
/// <https://learn.microsoft.com/sql/t-sql/language-elements/sql-server-utilities-statements-go>
const MODULES: &[&str] = &["PROC", "PROCEDURE", "VIEW", "TRIGGER", "FUNCTION"];

/// What `DROP` may be followed by inside other statements.
const DROPPED_INSIDE: &[&str] = &[
    "COLUMN",
    "CONSTRAINT",
    "FILE",
    "FILTER",
    "HIDDEN",
    "IF",
    "LISTENER",
    "MASKED",
    "MEMBER",
    "NOT",
    "PARTITION",
    "PERIOD",
    "PERSISTED",
    "ROWGUIDCOL",
    "SPARSE",
    "TABLE",
    "TARGET",
];

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    let first = (0..code.len()).find(|index| !code.is_symbol(*index, ';'));
    let Some(first) = first else { return };
    if code.is_string(first) || code.is_number(first) {
        faults.push(code.fault(first, "a value begins no statement", "write what is missing before it"));
    }
    for index in first..code.len() {
        if code.depth(index) > 0 || !code.is_word(index) {
            continue;
        }
        let begins = index == first || code.is_symbol_before(index, ';');
        if begins {
            faults.extend(begins_nothing(code, index, index == first));
        }
        if is_definition(code, index) {
            faults.extend(unknown_kind(code, index, begins));
            faults.extend(not_first(code, index, first));
        }
    }
}

/// Whether a word is CREATE, ALTER or DROP and not, for example, the right `GRANT CREATE` or the event `FOR CREATE`.
fn is_definition(code: &Code<'_>, index: usize) -> bool {
    let word = code.word(index);
    let others = ["GRANT", "DENY", "REVOKE", "FOR", "AFTER", "SCHEMA"];
    ["CREATE", "ALTER", "DROP"].contains(&word)
        && (word != "ALTER" || code.before(index) != "OR")
        && !others.contains(&code.before(index))
        && !code.is_symbol_before(index, ',')
        && !code.is_symbol_before(index, '.')
}

fn unknown_kind(code: &Code<'_>, index: usize, begins: bool) -> Option<Fault> {
    let verb = code.word(index);
    let at = if verb == "CREATE" && code.are(index + 1, &["OR", "ALTER"]) { index + 3 } else { index + 1 };
    let kind = code.word(at);
    if ["UNIQUE", "CLUSTERED", "NONCLUSTERED", "COLUMNSTORE"].contains(&kind) && verb == "CREATE" {
        let words = ["UNIQUE", "CLUSTERED", "NONCLUSTERED", "COLUMNSTORE"];
        let behind = (at..code.len()).find(|index| !code.any(*index, &words))?;
        let is_wrong = code.word(behind) != "INDEX" && code.is_name(behind);
        return is_wrong.then(|| {
            let message = format!("`{}` where `INDEX` is expected", code.shown(behind));
            code.fault(behind, message, "write CREATE … INDEX")
        });
    }
    let is_known = !code.is_word(at)
        || KINDS.contains(&kind)
        || (verb == "DROP" && DROPPED_INSIDE.contains(&kind))
        || code.before(index) == "ADD";
    // `ALTER TABLE … DROP name` and `… ALTER …` go on with a name.
    if is_known || kind == "REPLACE" || !(verb == "CREATE" || begins) {
        return None;
    }
    let message = format!("`{verb} {}`: there is no such kind of object", code.shown(at));
    let near = KINDS.iter().find(|known| is_near(kind, known));
    let help = near.map_or("correct the word".to_owned(), |near| format!("did you mean {near}?"));
    Some(code.fault(at, message, help))
}

fn not_first(code: &Code<'_>, index: usize, first: usize) -> Option<Fault> {
    let verb = code.word(index);
    let at = if code.are(index + 1, &["OR", "ALTER"]) { index + 3 } else { index + 1 };
    let kind = code.word(at);
    let is_module = verb != "DROP" && MODULES.contains(&kind);
    let is_schema = verb == "CREATE" && kind == "SCHEMA";
    // `CREATE SCHEMA s CREATE VIEW …` is one statement.
    let in_schema = code.are(first, &["CREATE", "SCHEMA"]);
    let is_wrong = index != first && (is_module && !in_schema || is_schema);
    is_wrong.then(|| {
        let message = format!("`{verb} {kind}` must be the first statement of its batch");
        code.fault(index, message, "write a line with GO before it")
    })
}

/// A word at the place of a statement that begins none. At the head of a batch it may be the name of a procedure.
fn begins_nothing(code: &Code<'_>, index: usize, is_first: bool) -> Option<Fault> {
    let word = code.word(index);
    let is_label = code.is_symbol(index + 1, ':');
    if STARTS.contains(&word) || is_label || word.starts_with('@') {
        return None;
    }
    let near = VERBS.iter().find(|verb| is_near(word, verb));
    let help = near.map_or("correct or delete it".to_owned(), |near| format!("did you mean {near}?"));
    let may_be_procedure = is_first && (near.is_none() || code.is_symbol(index + 1, '.'));
    let is_certain = RESERVED.contains(&word) || !is_first;
    (is_certain || !may_be_procedure).then(|| {
        let fault = code.fault(index, format!("`{}` begins no statement", code.shown(index)), help);
        Fault { is_doubtful: !is_certain, ..fault }
    })
}
