//! The arguments of EXEC, and what follows the name of a new object.

use super::code::Code;
use super::fault::Fault;
use super::words::STARTS;

pub(super) fn check(code: &Code<'_>, faults: &mut Vec<Fault>) {
    // At the head of a batch the word EXEC may be left out.
    if code.is_plain_name(0) && !code.is_symbol(1, ':') {
        faults.extend(call(code, 0));
    } else if code.is_string(0) || code.is_number(0) {
        faults.push(code.fault(0, "a value begins no statement", "write what is missing before it"));
    }
    for index in 0..code.len() {
        match code.word(index) {
            "EXEC" | "EXECUTE" if begins_call(code, index) => faults.extend(call(code, index + 1)),
            "CREATE" if code.depth(index) == 0 => faults.extend(new_object(code, index + 1)),
            "DROP" if code.depth(index) == 0 => faults.extend(dropped(code, index + 1)),
            "GRANT" | "DENY" | "REVOKE" if code.any(index + 1, &["ON", "TO", "FROM"]) => {
                let message = format!("no right is named behind `{}`", code.word(index));
                faults.push(code.fault(index, message, "write the right, for example SELECT"));
            }
            "USE" if code.is_plain_name(index + 1) && code.depth(index) == 0 => {
                faults.extend(alone(code, index + 2));
            }
            "FOR" if code.word(index + 1) == "AS" => {
                faults.push(code.fault(index, "`FOR AS` is not T-SQL", "write FOR SYSTEM_TIME AS OF"));
            }
            "DECLARE" => faults.extend(variable(code, index + 1)),
            _ => {}
        }
    }
}

/// `EXECUTE AS`, the right to execute and `EXEC (…)` are none.
fn begins_call(code: &Code<'_>, index: usize) -> bool {
    let others = ["GRANT", "DENY", "REVOKE", "WITH", "FOR"];
    code.word(index + 1) != "AS"
        && !code.is_open(index + 1)
        && !others.contains(&code.before(index))
        && !code.is_symbol_before(index, ',')
        && !code.any(index + 1, &["ON", "TO", "ANY", "EXTERNAL"])
}

/// `[@result =] name [[@name =] value [OUTPUT]], …`
/// <https://learn.microsoft.com/sql/t-sql/language-elements/execute-transact-sql>
fn call(code: &Code<'_>, start: usize) -> Option<Fault> {
    let name = if code.is_variable(start) && code.is_symbol(start + 1, '=') { start + 2 } else { start };
    let mut index = code.behind_name(name);
    // `name;1` is a numbered procedure.
    if index == name || code.is_symbol(index, ';') {
        return None;
    }
    let mut is_first = true;
    loop {
        if ends(code, index) {
            return None;
        }
        if !is_first {
            if !code.is_symbol(index, ',') {
                let message = format!("`{}` where a comma is expected", code.shown(index));
                return Some(code.fault(
                    index,
                    message,
                    "write the comma between the arguments, or delete what is too much",
                ));
            }
            index += 1;
        }
        is_first = false;
        if code.is_variable(index) && code.is_symbol(index + 1, '=') {
            index += 2;
        }
        if code.is_symbol(index, '-') || code.is_symbol(index, '$') || code.is_symbol(index, '+') {
            index += 1;
        }
        // What is no value belongs to another rule.
        if index >= code.len() || !(code.is_name(index) || code.is_string(index) || code.is_number(index)) {
            return None;
        }
        let is_number = code.is_number(index);
        index += 1;
        if is_number && code.is_symbol(index, '.') {
            index += 1;
            index += usize::from(code.is_number(index));
        }
        if code.any(index, &["OUTPUT", "OUT", "READONLY"]) {
            index += 1;
        }
        if !is_number && code.is_name(index - 1) && !code.is_variable(index - 1) && code.is_symbol(index, '.')
        {
            let message = format!("`{}.` is not expected in an argument", code.shown(index - 1));
            return Some(code.fault(
                index - 1,
                message,
                "put a name of several parts in quotes, or delete what is too much",
            ));
        }
        // An exponent or a function.
        if ['.', '(', '+', '-'].iter().any(|symbol| code.is_symbol(index, *symbol)) {
            return None;
        }
    }
}

fn ends(code: &Code<'_>, index: usize) -> bool {
    index >= code.len()
        || code.is_symbol(index, ';')
        || code.is_symbol(index, ')')
        || code.is_symbol(index, ':')
        || code.is_symbol(index + 1, ':')
        || code.any(index, STARTS)
        || code.any(index, &["AT", "AS", "WITH", "UNION", "CATCH", "TRY"])
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
        return alone(code, at + 2);
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

/// `DECLARE @name type`
fn variable(code: &Code<'_>, start: usize) -> Option<Fault> {
    if !code.is_variable(start) || start + 1 >= code.len() || code.is_name(start + 1) {
        return None;
    }
    let message = format!("`{}` where the type of a variable is expected", code.shown(start + 1));
    Some(code.fault(start + 1, message, "write the type behind the name"))
}

/// What would be a second name, where there is only one.
fn alone(code: &Code<'_>, behind: usize) -> Option<Fault> {
    let is_wrong = code.is_plain_name(behind) && !code.is_symbol(behind + 1, ':');
    is_wrong.then(|| {
        let message = format!("`{}` is not expected behind the name", code.shown(behind));
        code.fault(behind, message, "delete what is too much")
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
    let behind = code.behind_name(name);
    let is_wrong = code.is_plain_name(behind) && !code.is_symbol(behind + 1, ':');
    is_wrong.then(|| {
        let message = format!("`{}` is not expected behind the name", code.shown(behind));
        code.fault(behind, message, "write the comma, or delete what is too much")
    })
}
