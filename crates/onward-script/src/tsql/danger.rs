//! What locks or rewrites a table, or has surprising effects later. Bodies of procedures run later and are left out, and so are
//! tables that the script makes itself, which nobody uses yet.

use std::ops::Range;

use super::code::Code;
use super::columns;
use super::words::STARTS;
use crate::batch;
use crate::danger::Danger;
use crate::dialect::Dialect;
use crate::lexer::Token;
use crate::object::ObjectName;

/// A kind of danger, with why it matters and the safer way.
struct Kind {
    rule: &'static str,
    message: &'static str,
    help: &'static str,
}

/// <https://learn.microsoft.com/sql/relational-databases/indexes/guidelines-for-online-index-operations>
const INDEX_OFFLINE: Kind = Kind {
    rule: "index-offline",
    message: "nobody can write to the table while the server builds the index",
    help: "add `WITH (ONLINE = ON)`, which the Enterprise edition and Azure SQL know",
};

/// <https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql#remarks>
const NOT_NULL_WITHOUT_DEFAULT: Kind = Kind {
    rule: "not-null-without-default",
    message: "the server refuses this column on a table that has rows",
    help: "give it a DEFAULT, or add it as NULL, fill it, and make it NOT NULL in a later script",
};

/// <https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql#adding-not-null-columns-as-an-online-operation>
const VALUE_FOR_EACH_ROW: Kind = Kind {
    rule: "value-for-each-row",
    message: "the server computes a value for each row and rewrites the table under a lock that nothing passes",
    help: "add the column as NULL, fill it in small batches, and add the DEFAULT or the NOT NULL in a later script",
};

/// <https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql#alter-column>
const COLUMN_CHANGE: Kind = Kind {
    rule: "column-change",
    message: "the server may rewrite or read each row under a lock that nothing passes, and refuses the change where an index or \
              a constraint uses the column",
    help: "add a new column, fill it in small batches, and switch to it; or add `WITH (ONLINE = ON)`",
};

/// <https://learn.microsoft.com/sql/t-sql/statements/alter-table-transact-sql#with--check--nocheck->
const UNTRUSTED_CONSTRAINT: Kind = Kind {
    rule: "untrusted-constraint",
    message: "the server does not check the rows that are there, so it does not trust the constraint and plans queries without it",
    help: "write `WITH CHECK`, or end with `ALTER TABLE … WITH CHECK CHECK CONSTRAINT …`",
};

/// <https://learn.microsoft.com/sql/t-sql/statements/merge-transact-sql#remarks>
const MERGE_WITHOUT_HOLDLOCK: Kind = Kind {
    rule: "merge-without-holdlock",
    message: "another session can insert the same row between the look and the insert of MERGE",
    help: "write `WITH (HOLDLOCK)` behind the target, or an UPDATE and an INSERT … WHERE NOT EXISTS",
};

/// <https://learn.microsoft.com/sql/t-sql/queries/hints-transact-sql-table>
const WRITE_FROM_NOLOCK: Kind = Kind {
    rule: "write-from-nolock",
    message: "it writes what it read without locks: rows that were never committed, twice or not at all",
    help: "remove the hint, or use snapshot isolation",
};

/// <https://learn.microsoft.com/sql/t-sql/queries/select-into-clause-transact-sql#remarks>
const SELECT_INTO: Kind = Kind {
    rule: "select-into",
    message: "the new table gets no key, no constraint, no index and no trigger of the old one",
    help: "write CREATE TABLE, then INSERT … SELECT; a `#` table is no finding",
};

/// <https://learn.microsoft.com/sql/t-sql/data-types/ntext-text-and-image-transact-sql>
const DEPRECATED_TYPE: Kind = Kind {
    rule: "deprecated-type",
    message: "`text`, `ntext` and `image` will be removed from SQL Server",
    help: "use `varchar(max)`, `nvarchar(max)` or `varbinary(max)`",
};

/// The names of the kinds, which `-- onward: allow` takes.
pub(crate) const NAMES: &[&str] = &[
    COLUMN_CHANGE.rule,
    DEPRECATED_TYPE.rule,
    INDEX_OFFLINE.rule,
    MERGE_WITHOUT_HOLDLOCK.rule,
    NOT_NULL_WITHOUT_DEFAULT.rule,
    SELECT_INTO.rule,
    UNTRUSTED_CONSTRAINT.rule,
    VALUE_FOR_EACH_ROW.rule,
    WRITE_FROM_NOLOCK.rule,
];

/// Finds the dangers of a script in its order.
pub(crate) fn dangers(text: &str, tokens: &[Token]) -> Vec<Danger> {
    let mut search = Search::default();
    for batch in batch::split(text, tokens) {
        if !batch::creates_module(text, &batch.code(tokens)) {
            search.batch(&Code::of(text, tokens, &batch));
        }
    }
    let Search { found, checked, .. } = search;
    let stays = |(danger, constraint): (Danger, Option<String>)| {
        let is_checked = constraint.is_some_and(|name| checked.contains(&name));
        (!is_checked).then_some(danger)
    };
    found.into_iter().filter_map(stays).collect()
}

#[derive(Default)]
struct Search {
    /// Each danger, with the constraint that a later statement may still check.
    found: Vec<(Danger, Option<String>)>,
    /// The tables that the script makes.
    new_tables: Vec<ObjectName>,
    /// The constraints that the script adds, and those that it has checked.
    added: Vec<String>,
    checked: Vec<String>,
}

impl Search {
    fn batch(&mut self, code: &Code<'_>) {
        for index in 0..code.len() {
            match code.word(index) {
                "TABLE" => self.table(code, index),
                "INDEX" => self.index(code, index),
                "MERGE" => self.merge(code, index),
                "INSERT" | "UPDATE" | "DELETE" => self.write(code, index),
                "INTO" if code.is_in_select_list(index) && code.is_name(index + 1) => {
                    if !self.is_own(code, index + 1) && !code.is_variable(index + 1) {
                        self.report(code, index, SELECT_INTO);
                    }
                    self.new_tables.extend(code.object(index + 1));
                }
                _ => {}
            }
        }
    }

    fn report(&mut self, code: &Code<'_>, at: usize, kind: Kind) {
        self.report_unless_checked(code, at, kind, None);
    }

    fn report_unless_checked(&mut self, code: &Code<'_>, at: usize, kind: Kind, constraint: Option<String>) {
        let Kind { rule, message, help } = kind;
        let danger =
            Danger { rule: rule.into(), span: code.span(at), message: message.into(), help: help.into() };
        self.found.push((danger, constraint));
    }

    /// Whether nobody else uses a table yet: it is a temporary one, or the script makes it.
    fn is_own(&self, code: &Code<'_>, name: usize) -> bool {
        code.object(name).is_some_and(|table| {
            table.is_temporary(Dialect::SqlServer)
                || self.new_tables.iter().any(|new| new.is_same(&table, Dialect::SqlServer))
        })
    }

    fn table(&mut self, code: &Code<'_>, table: usize) {
        if let Some(open) = columns::list_of(code, table) {
            let items = code.close(open).map(|close| code.items(open + 1..close));
            self.deprecated(code, &items.unwrap_or_default());
        }
        match code.before(table) {
            "CREATE" => self.new_tables.extend(code.object(table + 1)),
            "ALTER" if !self.is_own(code, table + 1) => self.alter(code, table),
            _ => {}
        }
    }

    fn deprecated(&mut self, code: &Code<'_>, columns: &[Range<usize>]) {
        for column in columns.iter().filter(|column| column.len() > 1 && code.is_name(column.start)) {
            if code.any(column.start + 1, &["TEXT", "NTEXT", "IMAGE"]) {
                self.report(code, column.start + 1, DEPRECATED_TYPE);
            }
        }
    }

    fn alter(&mut self, code: &Code<'_>, table: usize) {
        let first = code.behind_name(table + 1);
        let says = if code.word(first) == "WITH" { code.word(first + 1) } else { "" };
        let verb = if says.is_empty() { first } else { first + 2 };
        let end = statement_end(code, verb + 1);
        match code.word(verb) {
            "ADD" => self.add(code, verb, says == "NOCHECK", end),
            "ALTER" if code.word(verb + 1) == "COLUMN" => {
                let behind = code.behind_name(verb + 2);
                let is_property = code.any(behind, &["ADD", "DROP"]);
                if !is_property && !is_online(code, behind..end) {
                    self.report(code, verb + 1, COLUMN_CHANGE);
                }
            }
            "REBUILD" if !is_online(code, verb..end) => self.report(code, verb, INDEX_OFFLINE),
            "NOCHECK" => self.report_unless_checked(code, verb, UNTRUSTED_CONSTRAINT, name(code, verb + 2)),
            "CHECK" if says == "CHECK" => self.checked.extend(name(code, verb + 2)),
            // What the script has added itself with a check is trusted already.
            "CHECK" if !name(code, verb + 2).is_some_and(|name| self.added.contains(&name)) => {
                self.report_unless_checked(code, verb, UNTRUSTED_CONSTRAINT, name(code, verb + 2));
            }
            _ => {}
        }
    }

    fn add(&mut self, code: &Code<'_>, add: usize, is_unchecked: bool, end: usize) {
        let items = code.items(add + 1..end);
        self.deprecated(code, &items);
        for item in items.into_iter().filter(|item| !item.is_empty()) {
            let has_name = code.word(item.start) == "CONSTRAINT";
            let kind = if has_name { code.behind_name(item.start + 1) } else { item.start };
            match code.word(kind) {
                "PRIMARY" | "UNIQUE" if !is_online(code, item.clone()) => {
                    self.report(code, kind, INDEX_OFFLINE)
                }
                "FOREIGN" | "CHECK" => {
                    let constraint = has_name.then(|| name(code, item.start + 1)).flatten();
                    self.added.extend(constraint.clone());
                    if is_unchecked {
                        self.report_unless_checked(code, kind, UNTRUSTED_CONSTRAINT, constraint);
                    }
                }
                "CONSTRAINT" | "DEFAULT" | "INDEX" | "PERIOD" | "PRIMARY" | "UNIQUE" => {}
                _ if !has_name && code.is_name(kind) => self.column(code, item),
                _ => {}
            }
        }
    }

    fn column(&mut self, code: &Code<'_>, column: Range<usize>) {
        let has = |words: &[&str]| code.find(column.clone(), words).is_some();
        let fills_itself = ["AS", "GENERATED", "ROWVERSION", "TIMESTAMP"];
        let mut inside = column.clone();
        let is_not_null = inside.any(|index| code.are(index, &["NOT", "NULL"]));
        let volatile = ["NEWID", "NEWSEQUENTIALID", "RAND", "CRYPT_GEN_RANDOM", "NEXT"];
        if has(&["IDENTITY"]) {
            self.report(code, column.start, VALUE_FOR_EACH_ROW);
        } else if has(&["DEFAULT"]) {
            let fills = is_not_null || column.clone().any(|index| code.are(index, &["WITH", "VALUES"]));
            if fills && let Some(function) = code.find(column, &volatile) {
                self.report(code, function, VALUE_FOR_EACH_ROW);
            }
        } else if is_not_null && !has(&fills_itself) {
            self.report(code, column.start, NOT_NULL_WITHOUT_DEFAULT);
        }
    }

    fn index(&mut self, code: &Code<'_>, index: usize) {
        let kinds = ["UNIQUE", "CLUSTERED", "NONCLUSTERED", "COLUMNSTORE"];
        let first = (0..index).rev().find(|before| !code.any(*before, &kinds));
        let verb = first.map_or("", |first| code.word(first));
        let on = code.behind_name(index + 1);
        if !["CREATE", "ALTER"].contains(&verb) || code.word(on) != "ON" || self.is_own(code, on + 1) {
            return;
        }
        let behind = code.behind_name(on + 1);
        let end = statement_end(code, behind);
        let builds = verb == "CREATE" || code.word(behind) == "REBUILD";
        if builds && !is_online(code, behind..end) {
            self.report(code, index, INDEX_OFFLINE);
        }
    }

    fn merge(&mut self, code: &Code<'_>, merge: usize) {
        let mut target = merge + 1;
        if code.word(target) == "TOP" {
            target = code.close(target + 1).map_or(target, |close| close + 1);
        }
        target += usize::from(code.word(target) == "INTO");
        let using =
            (target..code.len()).find(|index| code.any(*index, &["USING"]) || code.is_symbol(*index, ';'));
        let Some(using) = using.filter(|using| code.word(*using) == "USING") else { return };
        if code.any(merge + 1, &["JOIN", "RANGE"]) || self.is_own(code, target) {
            return;
        }
        if code.find(target..using, &["HOLDLOCK", "SERIALIZABLE"]).is_none() {
            self.report(code, merge, MERGE_WITHOUT_HOLDLOCK);
        }
        let end = (using..code.len()).find(|index| code.is_symbol(*index, ';')).unwrap_or(code.len());
        self.nolock(code, using..end);
    }

    fn write(&mut self, code: &Code<'_>, write: usize) {
        let target = write + 1 + usize::from(code.any(write + 1, &["INTO", "FROM"]));
        if self.is_own(code, target) {
            return;
        }
        let mut from = code.behind_name(target);
        if code.word(write) == "INSERT" {
            from = code.close(from).map_or(from, |close| close + 1);
            if code.word(from) != "SELECT" {
                return;
            }
            from += 1;
        } else if code.word(from) == "SET" {
            from += 1;
        }
        let end = statement_end(code, from);
        self.nolock(code, from..end);
    }

    fn nolock(&mut self, code: &Code<'_>, statement: Range<usize>) {
        let hints = ["NOLOCK", "READUNCOMMITTED"];
        if let Some(hint) = code.find(statement, &hints) {
            self.report(code, hint, WRITE_FROM_NOLOCK);
        }
    }
}

/// The name at an index, as the server compares it.
fn name(code: &Code<'_>, index: usize) -> Option<String> {
    code.object(index).map(|object| object.name().to_owned())
}

/// Where a statement ends: before its `;`, or before the next word that begins one.
fn statement_end(code: &Code<'_>, start: usize) -> usize {
    let is_end = |index: &usize| {
        let begins = code.any(*index, STARTS) && !code.any(*index, &["WITH", "ADD"]);
        let inside = ["UNION", "ALL", "EXCEPT", "INTERSECT", "ON", "DELETE", "UPDATE"];
        let goes_on = code.any(index.saturating_sub(1), &inside);
        code.depth(*index) == 0 && (code.is_symbol(*index, ';') || begins && !goes_on)
    };
    (start.min(code.len())..code.len()).find(is_end).unwrap_or(code.len())
}

/// `ONLINE = ON`, with or without more behind it.
fn is_online(code: &Code<'_>, mut statement: Range<usize>) -> bool {
    statement.any(|index| {
        code.word(index) == "ONLINE" && code.is_symbol(index + 1, '=') && code.word(index + 2) == "ON"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn found(text: &str) -> Vec<(String, &str)> {
        let dangers = dangers(text, &lex(text, Dialect::SqlServer));
        dangers.into_iter().map(|danger| (danger.rule, &text[danger.span])).collect()
    }

    #[test]
    fn each_danger_is_found_at_its_word() {
        for (text, rule, at) in [
            ("CREATE INDEX i ON t (a)", "index-offline", "INDEX"),
            ("CREATE UNIQUE CLUSTERED INDEX i ON dbo.t (a) WITH (FILLFACTOR = 90)", "index-offline", "INDEX"),
            ("CREATE NONCLUSTERED COLUMNSTORE INDEX i ON t (a)", "index-offline", "INDEX"),
            ("CREATE INDEX i ON t (a) WITH (ONLINE = OFF)", "index-offline", "INDEX"),
            ("ALTER INDEX ALL ON t REBUILD", "index-offline", "INDEX"),
            ("ALTER TABLE t REBUILD WITH (DATA_COMPRESSION = PAGE)", "index-offline", "REBUILD"),
            ("ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a)", "index-offline", "PRIMARY"),
            ("ALTER TABLE t ADD UNIQUE (a)", "index-offline", "UNIQUE"),
            ("ALTER TABLE t ADD a int NOT NULL", "not-null-without-default", "a"),
            ("ALTER TABLE t ADD a int NULL, [b] money NOT NULL", "not-null-without-default", "[b]"),
            (
                "ALTER TABLE t ADD a uniqueidentifier NOT NULL DEFAULT (NEWID())",
                "value-for-each-row",
                "NEWID",
            ),
            (
                "ALTER TABLE t ADD a uniqueidentifier NULL DEFAULT newid() WITH VALUES",
                "value-for-each-row",
                "newid",
            ),
            ("ALTER TABLE t ADD a int IDENTITY", "value-for-each-row", "a"),
            ("ALTER TABLE t ALTER COLUMN a bigint", "column-change", "COLUMN"),
            (
                "ALTER TABLE t WITH NOCHECK ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES u",
                "untrusted-constraint",
                "FOREIGN",
            ),
            ("ALTER TABLE t NOCHECK CONSTRAINT k", "untrusted-constraint", "NOCHECK"),
            ("ALTER TABLE t CHECK CONSTRAINT k", "untrusted-constraint", "CHECK"),
            ("MERGE t USING u ON t.a = u.a WHEN MATCHED THEN DELETE;", "merge-without-holdlock", "MERGE"),
            (
                "MERGE TOP (5) INTO t AS x USING u ON x.a = u.a WHEN MATCHED THEN DELETE;",
                "merge-without-holdlock",
                "MERGE",
            ),
            ("INSERT INTO t (a) SELECT a FROM u WITH (NOLOCK)", "write-from-nolock", "NOLOCK"),
            ("INSERT t SELECT a FROM u UNION ALL SELECT a FROM v (nolock)", "write-from-nolock", "nolock"),
            (
                "UPDATE t SET a = u.a FROM t JOIN u WITH (READUNCOMMITTED) ON 1 = 1",
                "write-from-nolock",
                "READUNCOMMITTED",
            ),
            ("DELETE FROM t WHERE a IN (SELECT a FROM u WITH (NOLOCK))", "write-from-nolock", "NOLOCK"),
            ("SELECT a INTO t FROM u", "select-into", "INTO"),
            ("CREATE TABLE t (a int, b ntext NULL)", "deprecated-type", "ntext"),
            ("ALTER TABLE t ADD a image NULL", "deprecated-type", "image"),
        ] {
            assert_eq!(found(text), [(rule.to_owned(), at)], "{text}");
        }
    }

    #[test]
    fn what_is_safe_is_not_reported() {
        for text in [
            "CREATE INDEX i ON t (a) INCLUDE (b) WHERE b > 0 WITH (FILLFACTOR = 90, ONLINE = ON) ON [PRIMARY]",
            "CREATE TABLE dbo.t (a int NOT NULL, CONSTRAINT k PRIMARY KEY (a)); CREATE INDEX i ON [dbo].[T] (a)",
            "CREATE TABLE t (a int)\nGO\nALTER TABLE dbo.t ADD b int NOT NULL\nGO\nCREATE UNIQUE INDEX i ON t (b)",
            "SELECT a INTO #t FROM u; CREATE INDEX i ON #t (a); MERGE #t USING u ON 1 = 1 WHEN MATCHED THEN DELETE;",
            "CREATE FULLTEXT INDEX ON t (a) KEY INDEX k; CREATE SPATIAL INDEX i ON t (a); ALTER INDEX i ON t REORGANIZE",
            "ALTER TABLE t ADD a int NOT NULL CONSTRAINT d DEFAULT (0), b rowversion NOT NULL, c AS (a + 1), d int NULL",
            "ALTER TABLE t ADD a datetime2 NOT NULL DEFAULT SYSUTCDATETIME(), b uniqueidentifier NULL DEFAULT NEWID()",
            "ALTER TABLE t ADD CONSTRAINT d DEFAULT (NEWID()) FOR a",
            "ALTER TABLE t ALTER COLUMN a ADD MASKED WITH (FUNCTION = 'default()')",
            "ALTER TABLE t ALTER COLUMN a bigint NOT NULL WITH (ONLINE = ON)",
            "ALTER TABLE t ADD CONSTRAINT k UNIQUE (a) WITH (ONLINE = ON)",
            "ALTER TABLE t WITH CHECK ADD CONSTRAINT k CHECK (a > 0)\nALTER TABLE t CHECK CONSTRAINT [K]",
            "ALTER TABLE t WITH NOCHECK ADD CONSTRAINT k CHECK (a > 0)\nGO\nALTER TABLE t WITH CHECK CHECK CONSTRAINT k",
            "MERGE INTO t WITH (HOLDLOCK) AS x USING u ON x.a = u.a WHEN MATCHED THEN DELETE;",
            "SELECT 1 FROM t INNER MERGE JOIN u ON 1 = 1 OPTION (MERGE JOIN); ALTER PARTITION FUNCTION f() MERGE RANGE (1)",
            "INSERT INTO t VALUES (1) SELECT a FROM u WITH (NOLOCK); INSERT #t SELECT a FROM u WITH (NOLOCK)",
            "CREATE TRIGGER t ON u AFTER UPDATE AS UPDATE v SET a = 1 FROM w WITH (NOLOCK)",
            "CREATE PROCEDURE p AS MERGE t USING u ON 1 = 1 WHEN MATCHED THEN DELETE;",
            "INSERT INTO t OUTPUT inserted.a INTO u SELECT 1; DELETE t OUTPUT deleted.a INTO u; FETCH NEXT FROM c INTO @a",
            "SELECT CAST(a AS text) FROM t; CREATE TABLE t (text nvarchar(5), [image] int)",
            "ALTER TABLE t DROP COLUMN a; ALTER TABLE t ENABLE TRIGGER ALL",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn the_names_are_sorted() {
        assert!(NAMES.is_sorted(), "{NAMES:?}");
    }
}
