use super::slips::known_slip;
use crate::finding::Finding;
use crate::lexer::{Token, TokenKind};
use crate::rule::Rule;
use crate::rules::{Source, squawk};
use crate::statement::{Statement, is_off};
use crate::text::line_span;

/// The errors of squawk's parser, but only the first of each line: the others on the line follow from it.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let psql = psql_command(source);
    if !psql.is_empty() {
        return psql;
    }
    let copies = copies_through_client(source);
    if !copies.is_empty() || source.directives.syntax_unchecked {
        return copies;
    }
    let statements = source.statements();
    let settings = if source.is_draft { other_strings(source) } else { Vec::new() };
    if !settings.is_empty() {
        return settings;
    }
    if source.is_draft {
        let known = statements.iter().flat_map(|statement| known_slip(source.text, statement));
        let findings: Vec<_> = known.map(|slip| slip.finding(source)).collect();
        if !findings.is_empty() {
            return findings;
        }
    }
    let Some(errors) = squawk::parsed(source, |parse| parse.errors()) else {
        return Vec::new();
    };
    let are_bodies_unchecked =
        statements.iter().any(|statement| leaves_bodies_unchecked(source.text, statement));
    let mut findings: Vec<Finding> = Vec::new();
    let mut last_line = None;
    for error in errors {
        let range = error.range();
        let start = usize::from(range.start()).min(source.text.len());
        let end = usize::from(range.end()).clamp(start, source.text.len());
        let is_here =
            |statement: &&Statement| (statement.span().start..=statement.span().end).contains(&start);
        if are_bodies_unchecked && is_in_string(source, start) {
            continue;
        }
        if statements.iter().find(is_here).is_some_and(|statement| is_accepted(source.text, statement)) {
            continue;
        }
        let line = line_span(source.text, source.text.floor_char_boundary(start));
        if last_line.replace(line.start) == Some(line.start) {
            continue;
        }
        let message = format!("syntax error: {}", readable(error.message()));
        let help = "correct the statement; the database would refuse it too. If it does not, write `-- onward: syntax-unchecked \
                    REASON` at the top";
        findings.push(Finding::file(Rule::Syntax, source.path, message, help).at(start..end));
    }
    findings
}

/// `SET check_function_bodies = false`: the server does not look at the bodies of functions.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-CHECK-FUNCTION-BODIES>
fn leaves_bodies_unchecked(text: &str, statement: &Statement) -> bool {
    let is_off = ["false", "off"].iter().any(|word| statement.find(text, word).is_some());
    statement.starts_with(text, &["set"]) && statement.find(text, "check_function_bodies").is_some() && is_off
}

fn is_in_string(source: &Source<'_>, at: usize) -> bool {
    source.tokens.iter().any(|token| token.kind == TokenKind::String && token.span.contains(&at))
}

/// What this parser refuses and the server accepts.
/// <https://www.postgresql.org/docs/current/sql-commands.html>
fn is_accepted(text: &str, statement: &Statement) -> bool {
    let starts = |words: &[&str]| statement.starts_with(text, words);
    let lists: [&[&str]; 10] = [
        &["drop", "access", "method"],
        &["drop", "conversion"],
        &["drop", "event", "trigger"],
        &["drop", "language"],
        &["drop", "procedural", "language"],
        &["drop", "foreign", "data", "wrapper"],
        &["drop", "text", "search", "configuration"],
        &["drop", "text", "search", "dictionary"],
        &["drop", "text", "search", "parser"],
        &["drop", "text", "search", "template"],
    ];
    if let Some(kind) = lists.iter().find(|kind| starts(kind)) {
        return is_list_of_names(text, &statement.tokens[kind.len()..]);
    }
    starts(&["set", "names"]) && statement.tokens.len() <= 3
        || starts(&["set", "role", "to", "default"]) && statement.tokens.len() == 4
        || starts(&["alter", "user", "mapping", "for", "user", "server"])
        || starts(&["alter", "statistics", "if", "exists"])
        || starts(&["create", "trusted"])
        || starts(&["create", "or", "replace", "trusted"])
        || starts(&["create", "subscription"]) && statement.find(text, "none").is_some()
}

/// `[IF EXISTS] name [, …] [CASCADE | RESTRICT]`
fn is_list_of_names(text: &str, tokens: &[Token]) -> bool {
    let is =
        |index: usize, word: &str| tokens.get(index).is_some_and(|token: &Token| token.is_word(text, word));
    let first = if is(0, "if") && is(1, "exists") { 2 } else { 0 };
    let last = tokens.len().saturating_sub(1);
    let end = if is(last, "cascade") || is(last, "restrict") { last } else { tokens.len() };
    let mut wants_name = true;
    for token in tokens.get(first..end).unwrap_or_default() {
        let is_name = matches!(token.kind, TokenKind::Word | TokenKind::QuotedName);
        if is_name != wants_name || !is_name && !matches!(token.kind, TokenKind::Symbol(',' | '.')) {
            return false;
        }
        wants_name = !wants_name;
    }
    !wants_name
}

/// A dump for psql contains backslash commands, which no server understands.
fn psql_command(source: &Source<'_>) -> Vec<Finding> {
    let at_line_start = |start: usize| start == 0 || source.text.as_bytes()[start - 1] == b'\n';
    let found = source
        .tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Symbol('\\') && at_line_start(token.span.start));
    let finding = |token: &Token| {
        let span = line_span(source.text, token.span.start);
        let is_restriction =
            ["\\restrict", "\\unrestrict"].iter().any(|it| source.text[span.clone()].starts_with(it));
        let help = match is_restriction {
            true => "remove the line: pg_dump writes it for psql alone",
            false => "remove the line; `pg_dump --inserts` writes the data of a dump as SQL",
        };
        Finding::file(Rule::Syntax, source.path, "a psql command is not SQL", help).at(span)
    };
    found.map(finding).collect()
}

/// `COPY … FROM STDIN` waits for rows that the client sends after the SQL, and a script has only SQL.
/// <https://www.postgresql.org/docs/current/sql-copy.html>
fn copies_through_client(source: &Source<'_>) -> Vec<Finding> {
    let text = source.text;
    let copies = source.statements().iter().filter_map(|statement| {
        let copy = statement.starts_with(text, &["copy"]);
        let stream = statement.tokens.windows(2).find(|pair| {
            let is = |from, stream| pair[0].is_word(text, from) && pair[1].is_word(text, stream);
            is("from", "stdin") || is("to", "stdout")
        });
        let pair = stream.filter(|_| copy)?;
        let message = format!(
            "`COPY … {}`: a script cannot carry rows",
            text[pair[0].span.start..pair[1].span.end].to_uppercase()
        );
        let help = "write the rows as INSERT; `pg_dump --inserts` does this for a dump";
        let span = statement.tokens[0].span.start..pair[1].span.end;
        Some(Finding::file(Rule::Syntax, source.path, message, help).at(span))
    });
    copies.collect()
}

/// `SET standard_conforming_strings = off` has no effect on its own script: the server reads the text as a whole, before it runs any of it. The
/// same script means something else to psql, which sends each statement by itself.
/// <https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-STANDARD-CONFORMING-STRINGS>
fn other_strings(source: &Source<'_>) -> Vec<Finding> {
    let text = source.text;
    let sets = source.statements().iter().filter(|statement| {
        statement.starts_with(text, &["set"])
            && statement.find(text, "standard_conforming_strings").is_some()
            && statement.tokens.last().is_some_and(|value| is_off(text, value))
    });
    let finding = |statement: &Statement| {
        let message = "`standard_conforming_strings` has no effect here: the server reads the whole script before it runs any of it";
        let help = "remove the line, and write E'…' where a backslash has a meaning";
        Finding::file(Rule::Syntax, source.path, message, help).at(statement.span())
    };
    sets.map(finding).collect()
}

/// A message of the parser without the names that its tokens have in its code.
fn readable(message: &str) -> String {
    let word = |word: &str| -> String {
        let (name, behind) = word.split_at(word.trim_end_matches([',', '.', ';', ')']).len());
        let shown = match name {
            "IDENT" => "a name".to_owned(),
            "STRING" => "a string".to_owned(),
            "INT_NUMBER" | "FLOAT_NUMBER" | "NUMERIC_NUMBER" => "a number".to_owned(),
            "EOF" => "the end".to_owned(),
            "COMMA" => "`,`".to_owned(),
            "SEMICOLON" => "`;`".to_owned(),
            "L_PAREN" => "`(`".to_owned(),
            "R_PAREN" => "`)`".to_owned(),
            "L_BRACK" => "`[`".to_owned(),
            "R_BRACK" => "`]`".to_owned(),
            "EQ" => "`=`".to_owned(),
            "DOT" => "`.`".to_owned(),
            "COLON" => "`:`".to_owned(),
            "STAR" => "`*`".to_owned(),
            name => match name.strip_suffix("_KW") {
                Some(keyword) => format!("`{keyword}`"),
                None => name.to_owned(),
            },
        };
        shown + behind
    };
    let words: Vec<_> = message.split(' ').map(word).collect();
    lower_first(&words.join(" "))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let acronym = text.chars().nth(1).is_some_and(char::is_uppercase);
    match chars.next() {
        Some(first) if !acronym => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::directive;
    use crate::lexer::lex;

    fn found(text: &str) -> Vec<(String, String, String)> {
        let tokens = lex(text, Dialect::Postgres);
        let (directives, _) = directive::parse("x", text, &tokens);
        let source = Source::new("x", text, &tokens, true, &directives);
        let shown = |finding: Finding| {
            let at = finding.span.map_or("", |span| &text[span]).to_owned();
            (at, finding.message, finding.help)
        };
        check(&source).into_iter().map(shown).collect()
    }

    #[test]
    fn what_the_server_accepts_is_not_refused() {
        for text in [
            "SET NAMES 'UTF8'",
            "SET role TO DEFAULT",
            "DROP EVENT TRIGGER a, b",
            "DROP EVENT TRIGGER IF EXISTS a, b CASCADE",
            "ALTER USER MAPPING FOR USER SERVER s OPTIONS (SET a 'x')",
            "ALTER STATISTICS IF EXISTS x SET STATISTICS 0",
            "DROP ACCESS METHOD x, y",
            "DROP LANGUAGE x, y",
            "DROP CONVERSION x, s.y RESTRICT",
            "DROP TEXT SEARCH DICTIONARY a, b",
            "DROP TEXT SEARCH PARSER a, b",
            "DROP TEXT SEARCH CONFIGURATION a, b",
            "CREATE TRUSTED LANGUAGE l HANDLER h",
            "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
            "CREATE TABLE t (\"user\" text, CHECK (true), UNIQUE (\"user\"), LIKE u)",
            "CREATE TABLE users (id bigint, name text, value text, type text, year int, NOT NULL id)",
            "TABLE t; VALUES (1); LOCK t; DO $$ BEGIN END $$; MOVE c; LOAD 'x'; ABORT; END",
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM u; ALTER GROUP g ADD USER u; DROP OWNED BY u",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
        let body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT FROM FROM $$;";
        assert_eq!(found(&format!("SET check_function_bodies = false; {body}")), []);
        let window = "CREATE TABLE t AS SELECT row_number() OVER (PARTITION BY a) FROM u";
        assert_eq!(found(window), []);
        let unchecked = "-- onward: syntax-unchecked a newer server\nCREATE SOMETHING NEW;";
        assert_eq!(found(unchecked), []);
    }

    #[test]
    fn a_slip_is_named_at_its_word() {
        for (text, at, message, help) in [
            ("CREATE TABEL t (a int)", "TABEL", "no such kind of object", "did you mean TABLE?"),
            ("DROP VEIW v", "VEIW", "`DROP VEIW`", "did you mean VIEW?"),
            ("ALTER TALBE t ADD a int", "TALBE", "no such kind", "did you mean TABLE?"),
            ("CREATE BANANA b", "BANANA", "no such kind", "for example TABLE"),
            ("SELCT 1", "SELCT", "no statement begins with `SELCT`", "did you mean SELECT?"),
            ("INSRT INTO t VALUES (1)", "INSRT", "no statement begins", "did you mean INSERT?"),
            ("CREATE TABLE user (id int)", "user", "reserved word", "\"user\""),
            ("CREATE TABLE app.orders (id int, order int)", "order", "reserved word", "\"order\""),
            ("CREATE VIEW Table AS SELECT 1", "Table", "reserved word", "\"table\""),
            ("CREATE\u{a0}TABLE t (a int)", "\u{a0}", "U+00A0", "replace it"),
            ("SELECT a\u{200b} FROM t", "\u{200b}", "U+200B", "delete it"),
            ("CREATE TABLE \"a\u{feff}\" (a int)", "\u{feff}", "U+FEFF", "delete it"),
            ("CREATE TABLE public.schema_journal (version int4)", "public", "own journal", "--exclude-table"),
            ("CREATE TABLE t (a int) PARTITION BY RANG (a)", "RANG", "no method", "did you mean RANGE?"),
            ("DROP LANGUAGE a b", "", "syntax error", "syntax-unchecked"),
        ] {
            let found = found(text);
            let [(place, said, remedy)] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(place == at && said.contains(message) && remedy.contains(help), "{text}: {found:?}");
            assert!(!said.contains("_KW"), "{said}");
        }
    }

    #[test]
    fn every_psql_command_of_a_dump_is_found() {
        let found = found("\\restrict x\nSELECT 1;\n\\unrestrict x\n");
        let lines: Vec<_> = found.iter().map(|(at, ..)| at.as_str()).collect();
        assert_eq!(lines, ["\\restrict x", "\\unrestrict x"]);
    }

    #[test]
    fn a_message_names_no_token_of_the_parser() {
        assert_eq!(readable("Expected command, found CREATE_KW"), "expected command, found `CREATE`");
        assert_eq!(readable("expected R_PAREN"), "expected `)`");
    }
}
