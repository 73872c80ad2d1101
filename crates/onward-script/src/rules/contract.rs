use std::ops::Range;

use super::Source;
use crate::batch;
use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::{Token, TokenKind};
use crate::object::ObjectName;
use crate::rule::Rule;

/// Finds what removes something that an older binary may still use, in a script without `-- onward: contract`.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect) -> Vec<Finding> {
    if source.directives.contract {
        return Vec::new();
    }
    let of_batches = match dialect {
        Dialect::Postgres => Vec::new(),
        Dialect::SqlServer => sql_server_statements(source),
    };
    let statements: Vec<&[Token]> = match dialect {
        Dialect::Postgres => {
            source.statements().iter().map(|statement| statement.tokens.as_slice()).collect()
        }
        Dialect::SqlServer => of_batches.iter().map(Vec::as_slice).collect(),
    };
    let words = |tokens| Words { text: source.text, dialect, tokens };
    let (mut findings, mut made) = (Vec::new(), Vec::new());
    for (index, tokens) in statements.iter().enumerate() {
        made.extend(words(tokens).made());
        let later = || statements[index + 1..].iter().filter_map(|tokens| words(tokens).created());
        let Some((what, at)) = words(tokens).takes_away(|| made.iter().cloned().chain(later())) else {
            continue;
        };
        let message = format!("{what}, which a running binary may still use");
        let help = "add `-- onward: contract` at the top once no running binary uses it: older binaries \
                    then refuse to start";
        let span = words(tokens).span_from(at);
        findings.push(Finding::file(Rule::Contract, source.path, message, help).at(span));
    }
    findings
}

/// SQL Server needs no semicolon between statements, so a statement begins at each verb that matters.
fn sql_server_statements(source: &Source<'_>) -> Vec<Vec<Token>> {
    let text = source.text;
    let mut statements = Vec::new();
    for batch in batch::split(text, source.tokens) {
        let tokens = batch.code(source.tokens);
        if batch::creates_module(text, &tokens) {
            statements.push(tokens.into_iter().cloned().collect());
            continue;
        }
        let mut current: Vec<Token> = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            let is = |word: &str| token.is_word(text, word);
            // `ALTER TABLE … ALTER COLUMN` and `… DROP` go on; what names an object of its own begins anew.
            let goes_on = current.first().is_some_and(|first| first.is_word(text, "alter"))
                && !tokens.get(index + 1).is_some_and(|next| is_kind(text, next));
            let verb =
                is("create") || is("exec") || is("execute") || ((is("alter") || is("drop")) && !goes_on);
            if verb || token.kind == TokenKind::Symbol(';') {
                statements.push(std::mem::take(&mut current));
            }
            if token.kind != TokenKind::Symbol(';') {
                current.push((*token).clone());
            }
        }
        statements.push(current);
    }
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// The kinds of objects that a query or a call names, each with what it is called in a message. Another spelling of a kind has
/// the same name.
const KINDS: &[(&[&str], &str)] = &[
    (&["aggregate"], "aggregate"),
    (&["domain"], "domain"),
    (&["foreign", "table"], "foreign table"),
    (&["function"], "function"),
    (&["materialized", "view"], "materialized view"),
    (&["proc"], "procedure"),
    (&["procedure"], "procedure"),
    (&["routine"], "routine"),
    (&["schema"], "schema"),
    (&["sequence"], "sequence"),
    (&["synonym"], "synonym"),
    (&["table"], "table"),
    (&["type"], "type"),
    (&["view"], "view"),
];

fn is_kind(text: &str, token: &Token) -> bool {
    KINDS.iter().any(|(words, _)| token.is_word(text, words[0]))
}

/// An object of a kind.
type Object = (&'static str, ObjectName);

struct Words<'a> {
    text: &'a str,
    dialect: Dialect,
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

    /// What the statement removes for good, as the start of a message, and the index of the word that removes it. `own` is what no
    /// binary misses: the script has made it before, or makes it again later.
    fn takes_away<I: Iterator<Item = Object>>(&self, own: impl Fn() -> I) -> Option<(String, usize)> {
        if self.is(0, "drop") {
            let (kind, names) = self.dropped()?;
            let is_own = |name: &ObjectName| {
                own().any(|(other, own)| is_same_kind(kind, other) && name.is_same(&own, self.dialect))
            };
            let gone = names.iter().find(|name| !name.is_temporary(self.dialect) && !is_own(name))?;
            return Some((format!("this drops the {kind} `{gone}`"), 0));
        }
        if self.renames_by_procedure() {
            return Some(("this renames something".to_owned(), 0));
        }
        if !self.is(0, "alter") || self.any(1, &["index", "default", "role", "user"]) {
            return None;
        }
        if self.is(1, "schema") && self.tokens.iter().any(|token| token.is_word(self.text, "transfer")) {
            return Some(("this moves something to another schema".to_owned(), 0));
        }
        self.actions().into_iter().find_map(|at| Some((self.action(at)?.to_owned(), at)))
    }

    /// `[EXEC [@result =]] [schema.]sp_rename`: SQL Server looks for a procedure whose name begins with `sp_` in `sys` whatever
    /// schema is named.
    fn renames_by_procedure(&self) -> bool {
        let mut at = usize::from(self.any(0, &["exec", "execute"]));
        if self.tokens.get(at + 1).is_some_and(|token| token.kind == TokenKind::Symbol('=')) {
            at += 2;
        }
        let name = ObjectName::parse(self.text, self.tokens.get(at..).unwrap_or_default(), self.dialect);
        self.dialect == Dialect::SqlServer && name.is_some_and(|(name, _)| name.name() == "sp_rename")
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
        let mut starts = Vec::new();
        let mut fresh = true;
        for (index, token) in self.outside_parentheses().skip_while(|(index, _)| *index < 2) {
            match token.kind {
                TokenKind::Symbol(',') => fresh = true,
                TokenKind::Word if fresh && self.any(index, &verbs) => {
                    starts.push(index);
                    fresh = false;
                }
                TokenKind::Word if fresh && self.any(index, &["add"]) => fresh = false,
                _ => {}
            }
        }
        starts
    }

    fn outside_parentheses(&self) -> impl Iterator<Item = (usize, &Token)> {
        let mut depth = 0_i32;
        self.tokens.iter().enumerate().filter(move |(_, token)| {
            match token.kind {
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth -= 1,
                _ => return depth == 0,
            }
            false
        })
    }

    /// PostgreSQL: `DROP [COLUMN] name`, but not `DROP CONSTRAINT` and other things that no query names. SQL Server: a list of
    /// `[CONSTRAINT] name` and `COLUMN name`.
    fn drops_column(&self, at: usize) -> bool {
        if self.dialect == Dialect::SqlServer {
            let mut begins_item = true;
            let list = self.outside_parentheses().skip_while(|(index, _)| *index <= at);
            return self.is(1, "table")
                && list.into_iter().any(|(index, token)| {
                    let names_column = begins_item && self.is(index, "column");
                    begins_item = token.kind == TokenKind::Symbol(',');
                    names_column
                });
        }
        let others = ["constraint", "index", "period", "attribute", "value", "identity", "default", "not"];
        self.is(1, "table") && !self.any(at + 1, &others)
            || self.is(1, "type") && self.is(at + 1, "attribute")
    }

    /// `ALTER [COLUMN] name [SET DATA] TYPE …`; on SQL Server every `ALTER COLUMN` states a type.
    fn changes_type(&self, at: usize) -> bool {
        let name = if self.is(at + 1, "column") { at + 2 } else { at + 1 };
        let after = name + 1;
        let typed = self.is(after, "type") || (self.is(after, "set") && self.is(after + 1, "data"));
        let other_action = self.any(after, &["set", "drop", "add", "restart", "type", "reset"]);
        typed || (self.is(at + 1, "column") && !other_action)
    }

    /// The kind of object after the verb, and the index behind it.
    fn kind(&self, at: usize) -> Option<(&'static str, usize)> {
        KINDS.iter().find_map(|(words, kind)| {
            let is_it = words.iter().enumerate().all(|(place, word)| self.is(at + place, word));
            is_it.then_some((*kind, at + words.len()))
        })
    }

    /// The name at an index, behind `IF [NOT] EXISTS`.
    fn name(&self, at: usize) -> Option<(ObjectName, &[Token])> {
        let words = ["if", "not", "exists", "concurrently"];
        let skipped = (at..self.tokens.len()).take_while(|index| self.any(*index, &words)).count();
        ObjectName::parse(self.text, self.tokens.get(at + skipped..)?, self.dialect)
    }

    /// What a `DROP` names: a kind and a list.
    fn dropped(&self) -> Option<(&'static str, Vec<ObjectName>)> {
        let (kind, behind) = self.kind(1)?;
        let (first, rest) = self.name(behind)?;
        let mut names = vec![first];
        let mut depth = 0_i32;
        for (index, token) in rest.iter().enumerate() {
            match token.kind {
                // The arguments of a function.
                TokenKind::Symbol('(') => depth += 1,
                TokenKind::Symbol(')') => depth -= 1,
                TokenKind::Symbol(',') if depth == 0 => {
                    let next = ObjectName::parse(self.text, &rest[index + 1..], self.dialect);
                    names.extend(next.map(|(name, _)| name));
                }
                _ => {}
            }
        }
        Some((kind, names))
    }

    /// What a `CREATE` makes that was not there before.
    fn made(&self) -> Option<Object> {
        let may_be_there = self.is(1, "or")
            || (1..self.tokens.len())
                .any(|at| self.is(at, "if") && self.is(at + 1, "not") && self.is(at + 2, "exists"));
        if may_be_there { None } else { self.created() }
    }

    /// What a `CREATE` makes.
    fn created(&self) -> Option<Object> {
        if !self.is(0, "create") {
            return None;
        }
        let words = ["or", "replace", "alter", "recursive", "temp", "temporary", "unlogged"];
        let kind_at = 1 + (1..self.tokens.len()).take_while(|index| self.any(*index, &words)).count();
        let (kind, behind) = self.kind(kind_at)?;
        Some((kind, self.name(behind)?.0))
    }
}

/// `DROP ROUTINE` drops a function, a procedure or an aggregate.
fn is_same_kind(dropped: &str, created: &str) -> bool {
    dropped == created || (dropped == "routine" && ["function", "procedure", "aggregate"].contains(&created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive::Directives;
    use crate::lexer::lex;

    fn found(text: &str, dialect: Dialect) -> Vec<String> {
        let (tokens, directives) = (lex(text, dialect), Directives::default());
        let source = Source::new("x", text, &tokens, true, &directives);
        let findings = check(&source, dialect);
        findings
            .into_iter()
            .map(|it| it.message.replace(", which a running binary may still use", ""))
            .collect()
    }

    #[test]
    fn what_postgres_takes_away() {
        for (text, expected) in [
            (
                "DROP TABLE orders; CREATE TABLE orders_archive (id int)",
                &["this drops the table `orders`"][..],
            ),
            ("DROP TABLE orders; CREATE TABLE public.Orders (id int)", &[]),
            ("DROP TABLE \"Orders\"; CREATE TABLE orders (id int)", &["this drops the table `Orders`"]),
            ("DROP VIEW v, w; CREATE VIEW v AS SELECT 1", &["this drops the view `w`"]),
            (
                "DROP VIEW IF EXISTS v, w; CREATE VIEW w AS SELECT 1; CREATE OR REPLACE VIEW v AS SELECT 1",
                &[],
            ),
            (
                "DROP MATERIALIZED VIEW v; CREATE VIEW v AS SELECT 1",
                &["this drops the materialized view `v`"],
            ),
            ("DROP FOREIGN TABLE f CASCADE", &["this drops the foreign table `f`"]),
            ("DROP AGGREGATE a (int, text), b (int)", &["this drops the aggregate `a`"]),
            (
                "DROP ROUTINE f(int, b text), g; CREATE FUNCTION f(int) RETURNS int AS ''; CREATE PROCEDURE g() AS ''",
                &[],
            ),
            ("DROP TABLE pg_temp.t", &[]),
            ("CREATE TEMP TABLE q AS SELECT 1; DROP TABLE q; CREATE TABLE s.w (id int); DROP TABLE s.w", &[]),
            ("CREATE TABLE IF NOT EXISTS q (id int); DROP TABLE q", &["this drops the table `q`"]),
            ("CREATE OR REPLACE VIEW v AS SELECT 1; DROP VIEW v", &["this drops the view `v`"]),
            (
                "DROP TABLE q; CREATE TABLE r (id int); DROP TABLE r, s",
                &["this drops the table `q`", "this drops the table `s`"],
            ),
            ("DROP INDEX i; DROP TRIGGER x ON t", &[]),
            ("ALTER TABLE t DROP CONSTRAINT c, DROP a", &["this drops a column"]),
            ("ALTER TABLE t ADD COLUMN a int DEFAULT (1), ALTER COLUMN b SET NOT NULL", &[]),
        ] {
            assert_eq!(found(text, Dialect::Postgres), expected, "{text}");
        }
    }

    #[test]
    fn what_sql_server_takes_away() {
        for (text, expected) in [
            (
                "DROP VIEW dbo.V, dbo.W\nGO\nCREATE VIEW V AS SELECT 1 AS a",
                &["this drops the view `dbo.w`"][..],
            ),
            ("DROP PROC dbo.P\nGO\nCREATE PROCEDURE [p] AS SELECT 1", &[]),
            ("DROP PROCEDURE IF EXISTS P\nGO\nCREATE OR ALTER PROC dbo.P AS SELECT 1", &[]),
            ("DROP TABLE sales.P\nCREATE TABLE P (a int)", &["this drops the table `sales.p`"]),
            ("DROP TABLE #t, t", &["this drops the table `t`"]),
            ("DROP TABLE #t", &[]),
            ("ALTER TABLE t DROP CONSTRAINT c, COLUMN a", &["this drops a column"]),
            ("ALTER TABLE t DROP CONSTRAINT c, d", &[]),
            ("ALTER TABLE t DROP c WITH (ONLINE = ON)", &[]),
            ("ALTER TABLE t DROP COLUMN IF EXISTS a", &["this drops a column"]),
            ("ALTER TABLE t ADD b int\nDROP TABLE u", &["this drops the table `u`"]),
            ("ALTER TABLE t ADD b int\nALTER TABLE t DROP COLUMN a", &["this drops a column"]),
            ("EXEC sp_rename 'a', 'b'", &["this renames something"]),
            ("EXEC sys.sp_rename 'a', 'b'", &["this renames something"]),
            ("EXECUTE [dbo].[sp_rename] 'a', 'b'", &["this renames something"]),
            ("DECLARE @r int; EXEC @r = app..SP_RENAME 'a', 'b'", &["this renames something"]),
            ("sp_rename 'a', 'b'", &["this renames something"]),
            ("EXEC sp_renamed 'a'", &[]),
            ("ALTER SCHEMA sales TRANSFER dbo.t", &["this moves something to another schema"]),
            ("IF OBJECT_ID('t') IS NOT NULL DROP TABLE t", &["this drops the table `t`"]),
        ] {
            assert_eq!(found(text, Dialect::SqlServer), expected, "{text}");
        }
    }
}
