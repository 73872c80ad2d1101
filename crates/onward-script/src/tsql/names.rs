//! The names of objects that are made, dropped, used or granted.

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

const TOO_MUCH: &str = "delete what is too much";

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    for index in (0..code.len()).filter(|index| code.depth(*index) == 0) {
        match code.word(index) {
            "CREATE" => faults.extend(new_object(code, index + 1)),
            "DROP" => faults.extend(dropped(code, index + 1)),
            "USE" if code.is_plain_name(index + 1) => faults.extend(alone(code, index + 2, TOO_MUCH)),
            "GRANT" | "DENY" | "REVOKE" if code.any(index + 1, &["ON", "TO", "FROM"]) => {
                let message = format!("no right is named behind `{}`", code.word(index));
                faults.push(code.fault(index, message, "write the right, for example SELECT"));
            }
            _ => {}
        }
    }
}

/// What may follow the name of a new object of each kind; a symbol is what begins with no letter.
const BEHIND_NAME: &[(&str, &[&str])] = &[
    ("VIEW", &["AS", "WITH", "("]),
    ("TABLE", &["(", "AS", "WITH", "ON", "CLONE", "USING"]),
    ("FUNCTION", &["("]),
    ("PROC", &["AS", "WITH", "FOR", "(", "@", ";"]),
    ("PROCEDURE", &["AS", "WITH", "FOR", "(", "@", ";"]),
    ("TRIGGER", &["ON"]),
    ("TYPE", &["FROM", "AS", "EXTERNAL"]),
    ("SYNONYM", &["FOR"]),
    ("SEQUENCE", &["AS", "START", "INCREMENT", "MINVALUE", "MAXVALUE", "NO", "CYCLE", "CACHE"]),
];

/// `CREATE [OR ALTER] KIND name …`
fn new_object(code: &Code<'_>, start: usize) -> Option<Fault> {
    if ["GRANT", "DENY", "REVOKE"].contains(&code.before(start - 1)) {
        return None;
    }
    let at = if code.are(start, &["OR", "ALTER"]) { start + 2 } else { start };
    if code.is_quoted(at) {
        let message = format!("`{}` where the kind of object is expected", code.shown(at));
        return Some(code.fault(at, message, "write TABLE, VIEW, PROCEDURE or another kind before the name"));
    }
    if code.any(at, &["LOGIN", "ROLE", "USER"]) && !code.is_plain_name(at + 1)
        || code.word(at) == "DATABASE" && (at + 1 == code.len() || code.is_symbol(at + 1, ';'))
    {
        return Some(code.fault(
            at,
            format!("the {} has no name", code.word(at).to_lowercase()),
            "write its name",
        ));
    }
    if code.any(at, &["ROLE", "SCHEMA"]) && code.is_plain_name(at + 1) {
        return alone(code, at + 2, TOO_MUCH);
    }
    let (kind, allowed) = BEHIND_NAME.iter().find(|(kind, _)| code.word(at) == *kind)?;
    let name = at + 1;
    if name < code.len() && !(code.is_name(name) || code.is_symbol(name, '.')) {
        let message =
            format!("`{}` where the name of the {} is expected", code.shown(name), kind.to_lowercase());
        return Some(code.fault(name, message, "write the name"));
    }
    let behind = code.behind_name(name);
    if behind >= code.len() {
        return None;
    }
    let follows = |word: &&str| match *word {
        "@" => code.is_variable(behind),
        "(" => code.is_open(behind),
        ";" => code.is_symbol(behind, ';'),
        word => code.word(behind) == word,
    };
    let may_end = *kind == "SEQUENCE" && (code.is_symbol(behind, ';') || code.any(behind, STARTS));
    if may_end || allowed.iter().any(follows) || code.any(behind, &["IF"]) {
        return None;
    }
    let message =
        format!("`{}` is not expected behind the name of the {}", code.shown(behind), kind.to_lowercase());
    Some(code.fault(behind, message, "correct the word, or delete what is too much"))
}

/// What would be a second name, where there is only one.
fn alone(code: &Code<'_>, behind: usize, help: &str) -> Option<Fault> {
    let is_wrong = code.is_plain_name(behind) && !code.is_symbol(behind + 1, ':');
    is_wrong.then(|| {
        let message = format!("`{}` is not expected behind the name", code.shown(behind));
        code.fault(behind, message, help)
    })
}

/// `DROP KIND [IF EXISTS] name`
fn dropped(code: &Code<'_>, kind: usize) -> Option<Fault> {
    let begins = kind == 1 || code.is_symbol_before(kind - 1, ';');
    if begins && code.is_quoted(kind) {
        let message = format!("`{}` where the kind of object is expected", code.shown(kind));
        return Some(code.fault(
            kind,
            message,
            "write TABLE, VIEW, PROCEDURE or another kind before the name",
        ));
    }
    let kinds = ["TABLE", "VIEW", "PROC", "PROCEDURE", "FUNCTION", "SEQUENCE", "SYNONYM", "TYPE", "SCHEMA"];
    if !code.any(kind, &kinds) {
        return None;
    }
    let name = if code.are(kind + 1, &["IF", "EXISTS"]) { kind + 3 } else { kind + 1 };
    if name < code.len() && (code.is_reserved(name) || !(code.is_name(name) || code.is_symbol(name, '.'))) {
        let message = format!("`{}` where a name is expected", code.shown(name));
        return Some(code.fault(name, message, "write IF EXISTS and the name"));
    }
    alone(code, code.behind_name(name), "write the comma, or delete what is too much")
}
