//! The structure of T-SQL, as far as it can be judged without a server and without a doubt.
//!
//! There is no grammar of T-SQL that is complete. So each rule here knows one shape that the server's parser refuses whatever
//! surrounds it, and says nothing where it is not certain: a false alarm would cost more than a miss, which the server finds.
//! <https://learn.microsoft.com/sql/t-sql/language-reference>

mod alter;
mod calls;
mod code;
mod columns;
mod danger;
mod dialects;
mod doubles;
mod fault;
mod heads;
mod keywords;
mod lists;
mod names;
mod nesting;
mod operands;
mod pairs;
mod routine;
mod rows;
mod settings;
mod sources;
mod spelling;
mod words;

use self::code::Code;
pub(crate) use self::danger::{NAMES as DANGERS, dangers};
pub(crate) use self::fault::Fault;
use crate::batch;
use crate::lexer::Token;

/// A rule about the code of one batch.
type Rule = fn(&Code<'_>, &mut Vec<Fault>);

/// The rules that need parentheses and blocks to be closed.
const RULES: &[Rule] = &[
    heads::check,
    lists::check,
    dialects::check,
    columns::check,
    rows::check,
    routine::check,
    alter::check,
    calls::check,
    names::check,
    sources::check,
    keywords::check,
    pairs::check,
    settings::check,
    doubles::check,
    operands::check,
    spelling::check,
];

/// Checks every batch of a script. In a batch whose parentheses or blocks are not closed nothing else is said.
pub(crate) fn check(text: &str, tokens: &[Token]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for batch in batch::split(text, tokens) {
        let code = Code::of(text, tokens, &batch);
        let before = faults.len();
        nesting::check(&code, &mut faults);
        if faults.len() == before {
            RULES.iter().for_each(|rule| rule(&code, &mut faults));
        }
    }
    faults.sort_by_key(|fault| (fault.span.start, fault.is_doubtful));
    first_of_each_line(text, faults)
}

/// The others of a line follow from its first: a word that is almost a keyword makes the next one unexpected, which confirms the
/// slip.
fn first_of_each_line(text: &str, faults: Vec<Fault>) -> Vec<Fault> {
    let mut kept: Vec<Fault> = Vec::new();
    for fault in faults {
        match kept.last_mut() {
            Some(first) if !text[first.span.start..fault.span.start].contains('\n') => {
                first.is_doubtful &= fault.is_doubtful;
            }
            _ => kept.push(fault),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::lexer::lex;

    fn found(text: &str) -> Vec<Fault> {
        check(text, &lex(text, Dialect::SqlServer))
    }

    /// Each text has one fault: at this word, with this in its message or its help.
    fn assert_found(cases: &[(&str, &str, &str)]) {
        for (text, at, says) in cases {
            let found = found(text);
            let [fault] = found.as_slice() else { panic!("{text}: {found:?}") };
            let (word, said) = (&text[fault.span.clone()], format!("{}; {}", fault.message, fault.help));
            assert!(!fault.is_doubtful && word == *at && said.contains(says), "{text}: at {word:?}: {said}");
        }
    }

    #[test]
    fn parentheses_and_blocks_are_closed() {
        assert_found(&[
            ("SELECT (1", "(", "not closed"),
            ("SELECT 1)", ")", "without `(`"),
            ("SELECT a] FROM t", "]", "without `[`"),
            ("IF 1 = 1 BEGIN SELECT 1", "BEGIN", "`BEGIN` without its `END`"),
            ("SELECT CASE WHEN 1 = 1 THEN 2", "CASE", "`CASE` without its `END`"),
            ("SELECT 1 END", "END", "`END` without"),
            ("BEGIN TRY SELECT 1 END", "END", "`END` closes the `BEGIN TRY` of line 1"),
            ("BEGIN TRY SELECT 1 END TRY SELECT 2", "BEGIN", "without `BEGIN CATCH`"),
        ]);
    }

    #[test]
    fn statements_begin_where_they_may() {
        assert_found(&[
            ("SELECT 1\nCREATE PROCEDURE p AS SELECT 1", "CREATE", "must be the first statement"),
            ("SELECT 1;\nCREATE OR ALTER VIEW v AS SELECT 1 AS a", "CREATE", "a line with GO"),
            ("SELECT 1\nCREATE SCHEMA s", "CREATE", "must be the first statement"),
            ("CREATE TABEL t (a int)", "TABEL", "did you mean TABLE?"),
            ("CREATE [dbo].[t] (a int)", "[dbo]", "kind of object"),
            ("CREATE UNIQUE TABLE t (a int)", "TABLE", "`INDEX` is expected"),
            ("SELECT 1; FROM t", "FROM", "begins no statement"),
            ("SELECT 1; SELCT 2", "SELCT", "did you mean SELECT?"),
            ("'x'", "'x'", "begins no statement"),
        ]);
    }

    #[test]
    fn other_dialects_are_named() {
        assert_found(&[
            ("CREATE TABLE IF NOT EXISTS t (a int)", "IF", "OBJECT_ID"),
            ("CREATE OR REPLACE VIEW v AS SELECT 1 AS a", "REPLACE", "CREATE OR ALTER"),
            ("ALTER TABLE t ADD COLUMN a int", "COLUMN", "ADD without COLUMN"),
            ("SELECT a FROM t ORDER BY a LIMIT 5", "LIMIT", "TOP"),
            ("SELECT `a FROM t", "`", "brackets"),
            ("ALTER TABLE t ALTER COLUMN a TYPE int", "TYPE", "ALTER COLUMN"),
            ("MERGE t AS a USING u AS b ON a.x = b.x WHEN MATCHED THEN DELETE", "MERGE", "not ended by `;`"),
        ]);
    }

    #[test]
    fn lists_have_their_commas() {
        assert_found(&[
            ("SELECT a, FROM t", ",", "before `FROM`"),
            ("SELECT a,, b FROM t", ",", "two commas"),
            ("SELECT f(a,) FROM t", ",", "before `)`"),
            ("INSERT INTO t (a b) VALUES (1, 2)", "b", "a comma is missing"),
            ("INSERT INTO t (a) SELCT 1", "SELCT", "`VALUES`, `SELECT` or `EXEC`"),
            ("INSERT INTO t (a) VALUES (1) (2)", "(", "between two rows"),
            ("INSERT INTO t (a, b) VALUES (1, 2), (3)", "(", "a row of 1 values behind one of 2"),
            ("INSERT INTO t (a, b) VALUES (1, 6'x')", "'x'", "a comma or an operator"),
            ("EXEC p @a = 'x' @b = 2", "@b", "comma"),
            ("p 1 2", "2", "comma"),
            ("SELECT a AS b c FROM t", "c", "comma"),
            ("CREATE CREDENTIAL c WITH IDENTITY = 'x' SECRET = 'y'", "SECRET", "comma"),
        ]);
    }

    #[test]
    fn definitions_have_their_shape() {
        assert_found(&[
            ("CREATE TABLE t (a int b int)", "b", "comma that is missing"),
            ("CREATE TABLE t (a int NOT NUL)", "NOT", "NOT NULL"),
            ("CREATE TABLE t (a, b int)", "a", "has no type"),
            ("CREATE TABLE t (a IN NULL)", "IN", "the type of a column"),
            ("CREATE TABLE t (a int = 5)", "=", "DEFAULT"),
            ("CREATE TABLE t (a varchar() NULL)", "(", "the length"),
            ("CREATE TABLE t (a int, FOREIGN KEY (a) u (a))", "u", "REFERENCES"),
            ("CREATE TABLE t (a int, CONSTRAINT k PRIMRY KEY (a))", "PRIMRY", "kind of a constraint"),
            ("CREATE PROCEDURE p @a int @b int AS SELECT 1", "@b", "a comma is missing"),
            ("CREATE PROCEDURE p @a int BEGIN SELECT 1 END", "BEGIN", "`AS` is missing"),
            ("CREATE PROCEDURE p @a int DEFAULT 5 AS SELECT 1", "DEFAULT", "= instead of DEFAULT"),
            ("CREATE TRIGGER t FOR u AFTER INSERT AS SELECT 1", "FOR", "`ON` is expected"),
            ("CREATE VIEW [s] [v] AS SELECT 1 AS a", "[v]", "behind the name of the view"),
            ("CREATE INDEX i ON t (a) INCLDE (b)", "INCLDE", "`INCLUDE`"),
            ("ALTER TABLE t AD a int", "AD", "another verb"),
            ("ALTER TABLE t DROP CONSTRANT c", "CONSTRANT", "`CONSTRAINT` or `COLUMN`"),
            ("ALTER TABLE t ALTER [a] int", "[a]", "`COLUMN`"),
            ("DROP TABLE EXISTS t", "EXISTS", "IF EXISTS"),
            ("DECLARE @a (50)", "(", "the type of a variable"),
        ]);
    }

    #[test]
    fn what_cannot_stand_together_is_found() {
        assert_found(&[
            ("SELECT a FROM t WHERE WHERE a = 1", "WHERE", "twice"),
            ("SELECT a FROM t WHERE AND a = 1", "AND", "behind `WHERE`"),
            ("SELECT a FROM t WHERE a 'x'", "'x'", "an operator is missing"),
            ("SELECT a FROM t whre b = 1", "whre", "did you mean WHERE?"),
            ("SELECT a FROM t u b = 1", "b", "behind a table and its alias"),
            ("SELECT t.a FROM t WHERE t.a = (b = )", ")", "behind `=`"),
            ("IF @a 0 SELECT 1", "0", "an operator is missing"),
            ("SET @a 'x'", "'x'", "`=` is expected"),
            ("SELECT 1 FROM t WHERE EXSTS (SELECT 1)", "EXSTS", "did you mean EXISTS?"),
            ("GRANT ON t TO u", "GRANT", "no right is named"),
            ("GRANT CONTROL ON DATABASE:a TO u", ":", "`::`"),
        ]);
    }

    #[test]
    fn what_stands_twice_is_found() {
        assert_found(&[
            ("SELECT * FROM t WHERE [a] [a] = 1", "[a]", "twice"),
            ("SELECT * FROM t WHERE t t.a = 1", "t", "twice"),
            ("SELECT * FROM t WHERE a a IN (1)", "a", "twice"),
            ("SELECT COUNT COUNT(1) FROM t", "COUNT", "twice"),
            ("SELECT QUOTENAME(t.a a) FROM t", "a", "twice"),
            (
                "CREATE PROCEDURE p @a uniqueidentifier uniqueidentifier AS SELECT 1",
                "uniqueidentifier",
                "twice",
            ),
            ("IF OBJECT_ID('t' 't') IS NULL PRINT 'x'", "'t'", "twice"),
            ("PRINT 'x' 'x'", "'x'", "twice"),
            ("IF @a IS NOT NULL NULL PRINT 'x'", "NULL", "twice"),
        ]);
    }

    #[test]
    fn two_operands_have_something_between_them() {
        assert_found(&[
            ("SELECT t.a u.b FROM t, u", "u", "comma"),
            ("SELECT 1 FROM t WHERE t.a u.b", "u", "operator"),
            ("UPDATE t SET a = @a b = 1", "b", "comma"),
            ("UPDATE t SET a = u.a [b] = u.b FROM u", "[b]", "comma"),
            ("UPDATE t SET a = GETDATE() b = 1", "b", "comma"),
            ("SELECT 1 FROM t WHERE [a] @a", "@a", "operator"),
            ("CREATE PROCEDURE p @a int, @b (7) AS SELECT 1", "(", "operator"),
            ("SELECT * FRO t", "FRO", "behind `*`"),
            ("CREATE INDEX i ON t ([a] ASC [b] ASC)", "[b]", "comma"),
            ("CREATE INDEX i ON t (a) INCLUDE ([b] [c])", "[c]", "comma"),
            ("SELECT a, b, c FROM t GROUP BY a b, c", "b", "comma"),
            ("SELECT * FROM OPENJSON(@j) WITH (a int '$.a' b int '$.b')", "b", "comma"),
            ("CREATE TABLE t (a (50))", "a", "has no type"),
        ]);
    }

    #[test]
    fn options_are_on_or_off() {
        assert_found(&[
            ("SET NOCOUNT\nSELECT 1", "NOCOUNT", "`ON` or `OFF`"),
            ("SET QUOTED_IDENTIFIER, ANSI_NULLS O", "ANSI_NULLS", "`ON` or `OFF`"),
            ("CREATE PROCEDURE p AS BEGIN ST NOCOUNT ON SELECT 1 END", "NOCOUNT", "without `SET`"),
        ]);
    }

    /// Each of these looks like a fault to a rule that is less careful.
    #[test]
    fn what_the_server_accepts_is_not_reported() {
        let sound = [
            "CREATE OR ALTER PROC dbo.p (@a int = 5, @b varchar(max) OUTPUT) WITH RECOMPILE AS SELECT 1",
            "CREATE PROCEDURE p;2 AS SELECT 1",
            "CREATE SCHEMA s CREATE VIEW v AS SELECT 1 AS a",
            "CREATE VIEW .v AS SELECT 1 AS a",
            "CREATE TABLE t (a int, b AS (a + 1) PERSISTED, c timestamp, d [int] NULL DEFAULT ('x'), )",
            "CREATE TABLE t (a datetime2 GENERATED ALWAYS AS ROW START, b datetime2 GENERATED ALWAYS AS ROW END, \
             PERIOD FOR SYSTEM_TIME (a, b)) WITH (SYSTEM_VERSIONING = ON)",
            "CREATE TABLE #t (a nvarchar(5) COLLATE database_default CONSTRAINT k PRIMARY KEY CLUSTERED (a ASC) ON [PRIMARY])",
            "DECLARE @t TABLE (a int, b money NOT NULL)\nDECLARE @a AS int = 1, @b decimal(5, 2)",
            "ALTER TABLE t WITH CHECK CHECK CONSTRAINT k",
            "ALTER TABLE t ADD a int NULL, CONSTRAINT k DEFAULT (1) FOR a",
            "CREATE INDEX i ON t (a) WHERE a IS NOT NULL WITH (IGNORE_DUP_KEY = ON) ON [PRIMARY]",
            "INSERT t (a) OUTPUT inserted.a VALUES (1), (2)",
            "INSERT INTO t EXEC p 'x', @a = -1.5, @b = @c OUTPUT",
            "INSERT INTO t DEFAULT VALUES",
            "EXEC @r = @p @a, N'x'\nEXEC ('SELECT 1')\nEXEC p a, b;",
            "EXECUTE AS USER = 'u'\nREVERT",
            "SELECT a.b [x], c 'y', COUNT(*) z, 1 AS [end] FROM t a, u AS b WITH (NOLOCK) CROSS APPLY f(1) x",
            "SELECT TOP (5) @a = b FROM db..t\nSELECT TOP 5 @a = b FROM t ORDER BY b DESC OPTION (MERGE JOIN, HASH JOIN)",
            "SELECT CASE WHEN a = 1 THEN 'x' ELSE CASE b WHEN 2 THEN 'y' END END FROM t GROUP BY GROUPING SETS ((a), ())",
            "SELECT a FROM t WHERE b BETWEEN 1 AND 5 AND c LIKE 'x%' ESCAPE '!' AND NOT EXISTS (SELECT 1)",
            "SELECT * FROM OPENROWSET('SQLNCLI', 'a';'b';'c', 'SELECT 1') AS x",
            "FETCH NEXT FROM c INTO @a WHILE @@FETCH_STATUS = 0 BEGIN FETCH NEXT FROM c INTO @a END",
            "BEGIN TRY SELECT 1 END TRY BEGIN CATCH THROW; END CATCH",
            "BEGIN TRANSACTION; COMMIT; BEGIN DISTRIBUTED TRANSACTION",
            "BEGIN DIALOG @h FROM SERVICE a TO SERVICE 'b' ON CONTRACT c; END CONVERSATION @h",
            "GRANT SELECT, UPDATE ON OBJECT::dbo.t TO u\nGRANT EXECUTE TO u",
            "CREATE TRIGGER t ON u AFTER INSERT, UPDATE AS IF UPDATE (a) SELECT 1",
            "UPDATE STATISTICS t\nUPDATE a SET b = c FROM t AS a",
            "MERGE t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT (a) VALUES (1);",
            "again: SELECT 1 GOTO again",
            "sp_help 'x'",
            "dbo.p @a = 1",
            "RESTORE DATABASE d FROM DISK = N'x' WITH MOVE 'a' TO 'b', REPLACE",
            "CREATE LOGIN l WITH PASSWORD = 'x' MUST_CHANGE, CHECK_POLICY = ON",
            "SELECT name name, t.id id, 'a' 'b' FROM objects objects JOIN dbo.t t (NOLOCK) ON objects.id = t.id",
            "CREATE TABLE u (date date, [int] int)\nSELECT (SELECT MAX(v.b) b FROM v v) x",
            "SELECT TOP (1) t.a FROM t\nSELECT TOP 1 t.a FROM t\nSELECT TOP (1) x = 1",
            "EXEC dbo.p @a\nEXEC @r = dbo.p @a\nEXEC .p @a\nDECLARE @t dbo.list, @u [int] = 5",
            "SELECT 100. * SUM(a) FROM t WHERE a >= 10. AND t.b = 1 GROUP BY a, b WITH ROLLUP",
            "SELECT SUM(a) OVER (ORDER BY b ASC ROWS UNBOUNDED PRECEDING) FROM t ORDER BY 1 DESC OFFSET 1 ROWS",
            "SET QUOTED_IDENTIFIER, ANSI_NULLS ON\nSET XACT_ABORT OFF\nALTER DATABASE d SET ANSI_NULLS OFF",
            "INSERT INTO @t (a) SELECT 1\nMERGE a.b USING c.d ON 1 = 1 WHEN MATCHED THEN DELETE OUTPUT deleted.a;",
            "CREATE TABLE v (time time(7), [time] [time](7), char char(5), xml xml(CONTENT dbo.c))",
            "ALTER TABLE t ADD time time(7) NULL\nALTER TABLE t ALTER COLUMN [binary] [binary](16) NOT NULL",
            "SELECT * FROM a, dbo.t t (NOLOCK)\nSELECT * FROM (dbo.t t CROSS APPLY dbo.v v)",
            "INSERT INTO @t (max) VALUES (1)\nINSERT INTO x SELECT a FROM (DELETE dbo.t OUTPUT deleted.a a) d",
            "SELECT a FROM t GROUP BY a AT TIME ZONE z, c\nCREATE TABLE e (a int, CONNECTION (x TO y)) AS EDGE",
            "EXEC send.[p] @a\nEXEC [a].enable.[p] @a\nEXEC [p];1 @a",
            "UPDATE t SET a = 1 OUTPUT inserted.* done: SELECT 1",
            "UPDATE t SET noexec += 1\nSELECT 1 FROM t JOIN u nocount ON nocount.a = t.a\nCREATE INDEX nocount ON t (a)",
            "SELECT $1.5, 1., .5, 0x1F, -1, @@ROWCOUNT, N'x' + N'y'",
        ];
        for text in sound {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn a_word_that_is_almost_a_keyword_is_a_question() {
        let found = found("SELECT a FROM t INNR JOIN u ON 1 = 1");
        assert!(found.iter().all(|fault| fault.is_doubtful) && found.len() == 1, "{found:?}");
        assert_eq!(found[0].help, "did you mean INNER?");
    }
}
