use super::{Source, lint};
use crate::batch;
use crate::dialect::Dialect;
use crate::directive::Directives;
use crate::finding::Finding;
use crate::history::Kind;
use crate::lexer::{Token, TokenKind};
use crate::object::ObjectName;
use crate::rule::Rule;

const HELP: &str = "write CREATE OR REPLACE (SQL Server: CREATE OR ALTER), DROP … IF EXISTS before the CREATE, a grant, a comment, \
                    or an upsert; put any other change into a numbered script; or allow it with a reason: \
                    `-- onward: allow repeatable REASON`";

/// The name by which `-- onward: allow` knows this rule.
const NAME: &str = "repeatable";

/// Finds what cannot run a second time, in a script of `always/` or `seeds/`.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect) -> Vec<Finding> {
    let of_batches: Vec<Vec<Token>>;
    let statements: Vec<&[Token]> = match dialect {
        Dialect::Postgres => {
            source.statements().iter().map(|statement| statement.tokens.as_slice()).collect()
        }
        Dialect::SqlServer => {
            let all = batch::split(source.text, source.tokens);
            of_batches =
                all.iter().map(|batch| batch.code(source.tokens).into_iter().cloned().collect()).collect();
            of_batches.iter().map(Vec::as_slice).collect()
        }
    };
    let mut dropped = Vec::new();
    let mut findings = Vec::new();
    let allowed = lint::comments(source, dialect);
    let mut is_used = vec![false; allowed.len()];
    for tokens in statements.into_iter().filter(|tokens| !tokens.is_empty()) {
        let words = Words { text: source.text, dialect, tokens };
        dropped.extend(words.dropped_if_there());
        if !words.can_run_again(&dropped) {
            let start = tokens[0].span.start;
            let by = allowed.iter().position(|it| it.rule == NAME && it.statement.contains(&start));
            if let Some(by) = by {
                is_used[by] = true;
                continue;
            }
            let message = "this cannot run a second time, but the script runs again and again";
            let span = tokens[0].span.start..tokens[tokens.len() - 1].span.end;
            findings.push(Finding::file(Rule::Repeatable, source.path, message, HELP).at(span));
        }
    }
    for (comment, is_used) in allowed.iter().zip(is_used) {
        let finding = match comment.fault(comment.rule == NAME, "only `repeatable` can be allowed here") {
            Some((message, help)) => {
                Finding::file(Rule::Repeatable, source.path, message, help).at(comment.comment.clone())
            }
            None if !is_used => comment.unused(Rule::Repeatable, source.path),
            None => continue,
        };
        findings.push(finding);
    }
    findings
}

/// Finds a directive that means nothing in a script of this kind.
pub(crate) fn directives(kind: Kind, path: &str, directives: &Directives) -> Vec<Finding> {
    let found = match kind {
        Kind::Always | Kind::Seed if directives.no_transaction => "no-transaction",
        Kind::Always | Kind::Seed if directives.contract => "contract",
        Kind::Always | Kind::Seed if directives.was.is_some() => "was",
        Kind::Baseline | Kind::Script | Kind::Seed if !directives.after.is_empty() => "after",
        _ => return Vec::new(),
    };
    let (message, help) = match kind {
        Kind::Always | Kind::Seed if found != "after" => (
            format!("the directive `{found}` has no meaning here"),
            "remove it; a change that needs it belongs into a numbered script",
        ),
        _ => (format!("the directive `{found}` has a meaning in `always/` only"), "remove it"),
    };
    vec![Finding::file(Rule::Directive, path, message, help)]
}

struct Words<'a> {
    text: &'a str,
    dialect: Dialect,
    tokens: &'a [Token],
}

impl Words<'_> {
    fn is(&self, index: usize, words: &[&str]) -> bool {
        let token = self.tokens.get(index);
        token.is_some_and(|token| words.iter().any(|word| token.is_word(self.text, word)))
    }

    fn has(&self, words: &[&str]) -> bool {
        (0..self.tokens.len())
            .any(|start| words.iter().enumerate().all(|(index, word)| self.is(start + index, &[word])))
    }

    fn can_run_again(&self, dropped: &[ObjectName]) -> bool {
        if self.is(0, &["create"]) {
            let replaces = self.is(1, &["or"]) && self.is(2, &["replace", "alter"]);
            let was_dropped =
                |name: &ObjectName| dropped.iter().any(|dropped| dropped.is_same(name, self.dialect));
            // The index of a materialized view goes with it.
            return replaces
                || self.created().is_some_and(|name| was_dropped(&name))
                || self.indexed().is_some_and(|name| was_dropped(&name));
        }
        if self.is(0, &["insert"]) {
            return self.has(&["on", "conflict"]) || self.has(&["not", "exists"]);
        }
        if self.is(0, &["drop"]) {
            // What these hold would be gone at each run.
            return self.has(&["if", "exists"]) && !self.is(1, &["table", "schema", "database"]);
        }
        if self.is(0, &["alter"]) {
            // `ALTER VIEW v OWNER TO app`; a column may be called owner, too.
            let owner = (2..self.tokens.len()).find(|index| self.is(*index, &["owner"]));
            let is_action = |at: usize| self.is(at + 1, &["to"]) && !self.is(at - 1, &["column", "rename"]);
            return owner.is_some_and(is_action) || self.is(1, &["default"]);
        }
        if self.is(0, &["with"]) && self.has(&["on", "conflict"]) && !self.has(&["delete"]) {
            return true;
        }
        if self.is(0, &["select", "with"]) {
            return !["into", "insert", "update", "delete"].iter().any(|word| self.has(&[word]));
        }
        let others =
            ["grant", "revoke", "deny", "comment", "merge", "set", "print", "if", "security", "refresh"];
        self.is(0, &others)
    }

    /// The objects that a `DROP … IF EXISTS` at the start names, or on SQL Server one behind an `IF`.
    fn dropped_if_there(&self) -> Vec<ObjectName> {
        let drop = (0..self.tokens.len()).find(|index| self.is(*index, &["drop"]));
        let Some(drop) = drop.filter(|drop| *drop == 0 || self.is(0, &["if"])) else { return Vec::new() };
        let exists = (drop..self.tokens.len()).find(|index| self.is(*index, &["exists"]));
        let mut at = match exists {
            Some(exists) => exists + 1,
            // `IF OBJECT_ID(N'v') IS NOT NULL DROP VIEW v`
            None if drop > 0 => drop + 2,
            None => return Vec::new(),
        };
        let mut names = Vec::new();
        while let Some((name, rest)) =
            self.tokens.get(at..).and_then(|rest| ObjectName::parse(self.text, rest, self.dialect))
        {
            names.push(name);
            let comma = rest.iter().position(|token| token.kind == TokenKind::Symbol(','));
            match comma {
                Some(comma) => at = self.tokens.len() - rest.len() + comma + 1,
                None => break,
            }
        }
        names
    }

    /// What a `CREATE INDEX … ON` is made for.
    fn indexed(&self) -> Option<ObjectName> {
        let on = (1..self.tokens.len()).find(|index| self.is(*index, &["on"]))?;
        let is_index = self.is(1, &["index"]) || self.is(2, &["index"]);
        let rest = self.tokens.get(on + 1..).filter(|_| is_index)?;
        ObjectName::parse(self.text, rest, self.dialect).map(|(name, _)| name)
    }

    /// The object that a `CREATE` names: the first name behind the words for its kind.
    fn created(&self) -> Option<ObjectName> {
        const KINDS: [&str; 24] = [
            "aggregate",
            "and",
            "clustered",
            "constraint",
            "event",
            "foreign",
            "function",
            "index",
            "materialized",
            "nonclustered",
            "operator",
            "policy",
            "proc",
            "procedure",
            "publication",
            "recursive",
            "rule",
            "server",
            "statistics",
            "synonym",
            "trigger",
            "type",
            "unique",
            "view",
        ];
        let kinds = (1..self.tokens.len()).take_while(|index| self.is(*index, &KINDS)).count();
        let name = ObjectName::parse(self.text, self.tokens.get(1 + kinds..)?, self.dialect);
        name.filter(|_| kinds > 0).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn refused(text: &str, dialect: Dialect) -> Vec<&str> {
        let (tokens, directives) = (lex(text, dialect), Directives::default());
        let source = Source::new("x", text, &tokens, true, &directives);
        check(&source, dialect).into_iter().map(|finding| &text[finding.span.expect("has a place")]).collect()
    }

    #[test]
    fn only_what_can_run_again_is_allowed() {
        for sound in [
            "CREATE OR REPLACE VIEW v AS SELECT 1;",
            "DROP VIEW IF EXISTS v, w CASCADE; CREATE VIEW w AS SELECT 1; CREATE VIEW public.V AS SELECT 1;",
            "DROP TRIGGER IF EXISTS t ON orders; CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION f();",
            "DROP FUNCTION IF EXISTS f(int); CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';",
            "DROP MATERIALIZED VIEW IF EXISTS m; CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; DROP INDEX IF EXISTS i; CREATE UNIQUE \
             INDEX i ON m (a);",
            "GRANT SELECT ON v TO reader; REVOKE ALL ON v FROM PUBLIC; COMMENT ON VIEW v IS 'x';",
            "INSERT INTO rates VALUES ('a', 1) ON CONFLICT (name) DO UPDATE SET rate = excluded.rate;",
            "ALTER VIEW v OWNER TO app; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;",
        ] {
            assert_eq!(refused(sound, Dialect::Postgres), [""; 0], "{sound}");
        }
        for sound in [
            "CREATE OR ALTER VIEW dbo.v AS SELECT 1 AS a;\nGO\nGRANT SELECT ON dbo.v TO reader;",
            "DROP PROCEDURE IF EXISTS dbo.p;\nGO\nCREATE PROC p AS SELECT 1;",
            "IF OBJECT_ID(N'dbo.v') IS NOT NULL DROP VIEW dbo.v;\nGO\nCREATE VIEW dbo.v AS SELECT 1 AS a;",
            "MERGE rates AS t USING (VALUES ('a')) AS s (n) ON t.n = s.n WHEN NOT MATCHED THEN INSERT (n) VALUES (s.n);",
        ] {
            assert_eq!(refused(sound, Dialect::SqlServer), [""; 0], "{sound}");
        }
        for unsound in [
            "DROP TABLE IF EXISTS t",
            "ALTER TABLE t RENAME COLUMN owner TO x",
            "SELECT id INTO t3 FROM t",
            "WITH d AS (DELETE FROM t RETURNING 1) SELECT * FROM d",
            "CREATE VIEW v AS SELECT 1",
            "CREATE TABLE t (id int)",
            "INSERT INTO t VALUES (1)",
            "DROP VIEW v",
            "ALTER TABLE t ADD COLUMN a int",
            "DELETE FROM t",
        ] {
            assert_eq!(refused(unsound, Dialect::Postgres), [unsound]);
        }
        assert_eq!(refused("DROP VIEW IF EXISTS v; CREATE VIEW w AS SELECT 1", Dialect::Postgres).len(), 1);
        assert_eq!(refused("CREATE PROCEDURE p AS SELECT 1", Dialect::SqlServer).len(), 1);
    }
}
