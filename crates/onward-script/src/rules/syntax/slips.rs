//! Slips of the hand in PostgreSQL scripts.

use std::ops::Range;

use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::{Token, TokenKind};
use crate::near::is_near;
use crate::object::ObjectName;
use crate::rule::Rule;
use crate::rules::Source;
use crate::statement::Statement;

/// A slip that deserves a better message than a parser's.
pub(super) struct Slip {
    span: Range<usize>,
    message: String,
    help: String,
}

impl Slip {
    pub(super) fn finding(self, source: &Source<'_>) -> Finding {
        Finding::file(Rule::Syntax, source.path, self.message, self.help).at(self.span)
    }
}

pub(super) fn known_slip(text: &str, statement: &Statement) -> Option<Slip> {
    invisible(text, statement)
        .or_else(|| unknown_kind(text, statement))
        .or_else(|| unknown_verb(text, statement))
        .or_else(|| reserved_name(text, statement))
        .or_else(|| unknown_partitioning(text, statement))
        .or_else(|| own_journal(text, statement))
}

/// Characters that look like a space or like nothing. The server takes them for a part of a name.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
fn invisible(text: &str, statement: &Statement) -> Option<Slip> {
    let names = statement
        .tokens
        .iter()
        .filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::Symbol(_)));
    names.into_iter().filter(|token| !token.text(text).is_ascii()).find_map(|token| {
        let is_invisible = |c: &char| {
            matches!(*c, '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{2064}' | '\u{3000}' | '\u{feff}')
        };
        let (at, character) = token.text(text).char_indices().find(|(_, c)| is_invisible(c))?;
        let start = token.span.start + at;
        Some(Slip {
            span: start..start + character.len_utf8(),
            message: format!("an invisible character (U+{:04X}) in a name or between words", u32::from(character)),
            help: "replace it with a space, or delete it; it often comes from a web page or a word processor".to_owned(),
        })
    })
}

/// The kinds of objects that `CREATE`, `ALTER` and `DROP` know, and the words before them.
/// <https://www.postgresql.org/docs/current/sql-commands.html>
const KINDS: &[&str] = &[
    "access",
    "aggregate",
    "assertion",
    "cast",
    "collation",
    "constraint",
    "conversion",
    "database",
    "default",
    "domain",
    "event",
    "extension",
    "foreign",
    "function",
    "global",
    "group",
    "index",
    "language",
    "large",
    "local",
    "materialized",
    "operator",
    "or",
    "owned",
    "policy",
    "procedural",
    "procedure",
    "property",
    "publication",
    "recursive",
    "role",
    "routine",
    "rule",
    "schema",
    "sequence",
    "server",
    "statistics",
    "subscription",
    "system",
    "table",
    "tablespace",
    "temp",
    "temporary",
    "text",
    "transform",
    "trigger",
    "trusted",
    "type",
    "unique",
    "unlogged",
    "user",
    "view",
];

fn unknown_kind(text: &str, statement: &Statement) -> Option<Slip> {
    let [verb, kind, ..] = statement.tokens.as_slice() else { return None };
    let is_definition = ["create", "alter", "drop"].iter().any(|word| verb.is_word(text, word));
    if !is_definition || kind.kind != TokenKind::Word {
        return None;
    }
    let word = kind.text(text).to_lowercase();
    if KINDS.contains(&word.as_str()) {
        return None;
    }
    let near = KINDS.iter().find(|known| is_near(&word, known));
    let help = near.map_or_else(
        || "write the kind of object, for example TABLE".to_owned(),
        |near| format!("did you mean {}?", near.to_uppercase()),
    );
    let written = &text[verb.span.start..kind.span.end];
    Some(Slip {
        span: kind.span.clone(),
        message: format!("`{written}`: there is no such kind of object"),
        help,
    })
}

/// The words with which statements begin, as far as a script may hold them.
const VERBS: &[&str] = &[
    "alter",
    "analyze",
    "call",
    "cluster",
    "comment",
    "create",
    "delete",
    "drop",
    "execute",
    "explain",
    "grant",
    "import",
    "insert",
    "merge",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "select",
    "table",
    "truncate",
    "update",
    "vacuum",
    "values",
    "with",
];

fn unknown_verb(text: &str, statement: &Statement) -> Option<Slip> {
    let first = statement.tokens.first().filter(|token| token.kind == TokenKind::Word)?;
    let word = first.text(text).to_lowercase();
    // These are verbs, too, and near to none that is misspelt.
    let others = [
        "do", "set", "show", "copy", "lock", "load", "move", "listen", "notify", "end", "abort", "begin",
        "start", "analyse",
    ];
    if others.contains(&word.as_str()) || VERBS.contains(&word.as_str()) {
        return None;
    }
    let near = VERBS.iter().find(|verb| is_near(&word, verb))?;
    Some(Slip {
        span: first.span.clone(),
        message: format!("no statement begins with `{}`", first.text(text)),
        help: format!("did you mean {}?", near.to_uppercase()),
    })
}

/// Words that are no name without quotes.
/// <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "system_user",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Words that begin an item of the list of a table which is no column.
const CONSTRAINTS: &[&str] = &["check", "constraint", "foreign", "not", "primary", "unique"];

/// A reserved word as the name of a table, a view or a column.
fn reserved_name(text: &str, statement: &Statement) -> Option<Slip> {
    let tokens = &statement.tokens;
    let is = |index: usize, words: &[&str]| {
        tokens.get(index).is_some_and(|token| words.iter().any(|word| token.is_word(text, word)))
    };
    let symbol = |index: usize, symbol| {
        tokens.get(index).is_some_and(|token: &Token| token.kind == TokenKind::Symbol(symbol))
    };
    if !is(0, &["create"]) {
        return None;
    }
    let kind = (1..4).find(|index| is(*index, &["table", "view", "sequence", "type", "domain"]))?;
    let before = [
        "or",
        "replace",
        "temp",
        "temporary",
        "unlogged",
        "materialized",
        "recursive",
        "foreign",
        "global",
        "local",
    ];
    if !(1..kind).all(|index| is(index, &before)) {
        return None;
    }
    let mut name = kind + 1;
    name += if is(name, &["if"]) { 3 } else { 0 };
    if is(name, RESERVED) {
        return Some(reserved(text, &tokens[name]));
    }
    name += if symbol(name + 1, '.') { 2 } else { 0 };
    if !is(kind, &["table"]) || !symbol(name + 1, '(') {
        return None;
    }
    let mut depth = 0_i32;
    for index in name + 1..tokens.len() {
        let begins = depth == 1 && (symbol(index - 1, '(') || symbol(index - 1, ','));
        // A type follows a column; behind a constraint stands something else.
        let is_column = begins
            && is(index, RESERVED)
            && !is(index, CONSTRAINTS)
            && tokens.get(index + 1)?.kind == TokenKind::Word;
        if is_column {
            return Some(reserved(text, &tokens[index]));
        }
        depth += i32::from(symbol(index, '(')) - i32::from(symbol(index, ')'));
        if depth == 0 {
            break;
        }
    }
    None
}

/// A dump of a database that Onward has upgraded contains the journal.
fn own_journal(text: &str, statement: &Statement) -> Option<Slip> {
    let name = statement.tokens.get(2..).unwrap_or_default();
    let (name, _) = ObjectName::parse(text, name, Dialect::Postgres)?;
    let is_journal = statement.starts_with(text, &["create", "table"]) && name.name() == "schema_journal";
    is_journal.then(|| Slip {
        span: statement.tokens[2].span.start..statement.tokens[2].span.end,
        message: "this creates Onward's own journal".to_owned(),
        help: "remove all that is about it: `pg_dump --exclude-table=schema_journal` leaves it out"
            .to_owned(),
    })
}

/// `PARTITION BY` knows three methods.
/// <https://www.postgresql.org/docs/current/sql-createtable.html>
fn unknown_partitioning(text: &str, statement: &Statement) -> Option<Slip> {
    if !statement.starts_with(text, &["create"]) || statement.find(text, "table").is_none() {
        return None;
    }
    let words = |three: &&[Token]| {
        let is = |index: usize, word: &str| three[index].is_word(text, word);
        is(0, "partition") && is(1, "by") && three[2].kind == TokenKind::Word
    };
    let method = &statement.tokens.windows(3).find(words)?[2];
    let methods = ["range", "list", "hash"];
    let word = method.text(text).to_lowercase();
    // `PARTITION BY` of a window, in the query of a `CREATE TABLE … AS`, names a column.
    if methods.contains(&word.as_str()) || statement.find(text, "select").is_some() {
        return None;
    }
    let near = methods.iter().find(|known| is_near(&word, known)).map(|near| near.to_uppercase());
    Some(Slip {
        span: method.span.clone(),
        message: format!("`{}` is no method of partitioning", method.text(text)),
        help: near
            .map_or_else(|| "write RANGE, LIST or HASH".to_owned(), |near| format!("did you mean {near}?")),
    })
}

fn reserved(text: &str, token: &Token) -> Slip {
    let word = token.text(text);
    Slip {
        span: token.span.clone(),
        message: format!("`{word}` is a reserved word and no name"),
        help: format!("write it in quotes everywhere (\"{}\"), or choose another name", word.to_lowercase()),
    }
}
