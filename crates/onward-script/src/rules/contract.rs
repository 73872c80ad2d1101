use std::ops::Range;

use super::Source;
use crate::batch;
use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::{Token, TokenKind};
use crate::rule::Rule;
use crate::statement;

/// Finds what removes something that an older binary may still use, in a script without `-- onward: contract`.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect) -> Vec<Finding> {
    if source.directives.contract {
        return Vec::new();
    }
    let statements = match dialect {
        Dialect::Postgres => statement::split(source.text, source.tokens)
            .into_iter()
            .map(|statement| statement.tokens)
            .collect(),
        Dialect::SqlServer => sql_server_statements(source),
    };
    let mut findings = Vec::new();
    for (index, tokens) in statements.iter().enumerate() {
        let statement = Words { text: source.text, tokens };
        let Some((what, at)) = statement.takes_away() else { continue };
        let created_again = statements[index + 1..]
            .iter()
            .any(|later| statement.is_created_again(&Words { text: source.text, tokens: later }));
        if !created_again {
            let message = format!("{what}, which a running binary may still use");
            let help = "add `-- onward: contract` at the top once no running binary uses it: older binaries \
                        then refuse to start";
            findings
                .push(Finding::file(Rule::Contract, source.path, message, help).at(statement.span_from(at)));
        }
    }
    findings
}

/// SQL Server needs no semicolon between statements, so a statement begins at each verb that matters.
fn sql_server_statements(source: &Source<'_>) -> Vec<Vec<Token>> {
    let mut statements = Vec::new();
    for batch in batch::split(source.text, source.tokens) {
        let inside = |token: &&Token| batch.span.contains(&token.span.start) && !token.is_comment();
        let tokens: Vec<_> = source.tokens.iter().filter(inside).collect();
        if super::transaction::creates_module(source.text, &tokens) {
            statements.push(tokens.into_iter().cloned().collect());
            continue;
        }
        let mut current: Vec<Token> = Vec::new();
        for token in tokens {
            let verb = ["create", "exec", "execute"].iter().any(|verb| token.is_word(source.text, verb))
                || (["alter", "drop"].iter().any(|verb| token.is_word(source.text, verb))
                    && !current.first().is_some_and(|first| first.is_word(source.text, "alter")));
            if verb || token.kind == TokenKind::Symbol(';') {
                statements.push(std::mem::take(&mut current));
            }
            if token.kind != TokenKind::Symbol(';') {
                current.push(token.clone());
            }
        }
        statements.push(current);
    }
    statements.retain(|statement| !statement.is_empty());
    statements
}

const DROPPED: &[&str] = &[
    "aggregate",
    "domain",
    "foreign",
    "function",
    "materialized",
    "proc",
    "procedure",
    "routine",
    "schema",
    "sequence",
    "synonym",
    "table",
    "type",
    "view",
];

struct Words<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl Words<'_> {
    /// From the word that removes something to the end of the statement.
    fn span_from(&self, at: usize) -> Range<usize> {
        self.tokens[at].span.start..self.tokens[self.tokens.len() - 1].span.end
    }

    fn is(&self, index: usize, word: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.is_word(self.text, word))
    }

    fn any(&self, index: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(index, word))
    }

    /// What the statement removes, as the start of a message, and the index of the word that removes it.
    fn takes_away(&self) -> Option<(String, usize)> {
        if self.is(0, "drop") && self.any(1, DROPPED) && !self.is_temporary() {
            return Some((format!("this drops a {}", self.kind()), 0));
        }
        let runs = usize::from(self.any(0, &["exec", "execute"]));
        if self.is(runs, "sp_rename") {
            return Some(("this renames something".to_owned(), 0));
        }
        if !self.is(0, "alter") || self.any(1, &["index", "default", "role", "user"]) {
            return None;
        }
        self.actions().into_iter().find_map(|at| Some((self.action(at)?.to_owned(), at)))
    }

    fn action(&self, at: usize) -> Option<&'static str> {
        if self.is(at, "rename") && !self.is(at + 1, "constraint") {
            Some("this renames something")
        } else if self.is(at, "drop") && self.drops_column(at) {
            Some("this drops a column")
        } else if self.is(at, "alter") && self.changes_type(at) {
            Some("this changes the type of a column")
        } else if self.is(at, "set") && self.is(at + 1, "schema") {
            Some("this moves something to another schema")
        } else {
            None
        }
    }

    /// Where the actions of an `ALTER` may begin: after the name, and after each comma outside parentheses.
    fn actions(&self) -> Vec<usize> {
        let verbs = ["rename", "drop", "alter", "set"];
        let mut depth = 0_i32;
        let mut starts = Vec::new();
        let mut fresh = true;
        for (index, token) in self.tokens.iter().enumerate().skip(2) {
            match token.kind {
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth -= 1,
                TokenKind::Symbol(',') if depth == 0 => fresh = true,
                TokenKind::Word if fresh && depth == 0 && self.any(index, &verbs) => {
                    starts.push(index);
                    fresh = false;
                }
                TokenKind::Word if fresh && depth == 0 && self.any(index, &["add"]) => fresh = false,
                _ => {}
            }
        }
        starts
    }

    /// `DROP [COLUMN] name`, but not `DROP CONSTRAINT` and other things that no query names.
    fn drops_column(&self, at: usize) -> bool {
        let others = ["constraint", "index", "period", "attribute", "value", "identity", "default", "not"];
        self.is(1, "table") && !self.any(at + 1, &others)
            || self.is(1, "type") && self.is(at + 1, "attribute")
    }

    /// `ALTER [COLUMN] name [SET DATA] TYPE …`; on SQL Server every `ALTER COLUMN` states a type.
    fn changes_type(&self, at: usize) -> bool {
        let name = if self.is(at + 1, "column") { at + 2 } else { at + 1 };
        let after = name + 1;
        let typed = self.is(after, "type") || (self.is(after, "set") && self.is(after + 1, "data"));
        let postgres_action = self.any(after, &["set", "drop", "add", "restart", "type", "reset"]);
        typed || (self.is(at + 1, "column") && !postgres_action)
    }

    fn kind(&self) -> String {
        self.tokens[1].text(self.text).to_lowercase()
    }

    fn is_temporary(&self) -> bool {
        self.tokens.iter().any(|token| token.text(self.text).trim_start_matches('[').starts_with('#'))
            || self.any(2, &["pg_temp"])
    }

    /// `DROP VIEW v` removes nothing if `CREATE VIEW v` follows in the script.
    fn is_created_again(&self, later: &Self) -> bool {
        let kind_and_name = |words: &Self| {
            let kind = words
                .tokens
                .iter()
                .position(|token| DROPPED.iter().any(|kind| token.is_word(words.text, kind)))?;
            let skip = ["if", "exists", "not"];
            let name: String = words.tokens[kind + 1..]
                .iter()
                .skip_while(|token| skip.iter().any(|word| token.is_word(words.text, word)))
                .map_while(|token| match token.kind {
                    TokenKind::Word | TokenKind::QuotedName => {
                        Some(token.text(words.text).trim_matches(['[', ']', '"']).to_lowercase())
                    }
                    TokenKind::Symbol('.') => Some(".".to_owned()),
                    _ => None,
                })
                .take(3)
                .collect();
            Some((words.tokens[kind].text(words.text).to_lowercase(), name))
        };
        let (Some((kind, name)), Some((new_kind, new_name))) = (kind_and_name(self), kind_and_name(later))
        else {
            return false;
        };
        self.is(0, "drop") && later.is(0, "create") && kind == new_kind && new_name.starts_with(&name)
    }
}
