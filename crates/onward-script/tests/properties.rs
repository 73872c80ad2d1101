//! Properties that hold for any folder and any bytes.

use std::collections::BTreeSet;

use onward_script::{
    Bundle, CheckOptions, Content, Dialect, Entry, FileName, Folder, Known, LOCK_FILE, Lock, RULES_VERSION,
    Severity, TokenKind, batches, check, lex, line_column, render, script_name, statements,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Postgres), Just(Dialect::SqlServer)]
}

/// Whether a text holds no statement.
fn is_blank(bytes: &[u8], dialect: Dialect) -> bool {
    let text = String::from_utf8_lossy(bytes);
    lex(&text, dialect).iter().all(|token| token.is_comment() || token.kind == TokenKind::Symbol(';'))
}

/// Pieces that open, close and nest tokens, so that random text reaches the edge cases of the lexer.
fn sql() -> impl Strategy<Value = String> {
    let pieces = [
        "'",
        "\"",
        "[",
        "]",
        "$$",
        "$a$",
        "--",
        "/*",
        "*/",
        "\n",
        "\r\n",
        ";",
        "(",
        ")",
        "E'",
        "U&\"",
        "\\",
        "GO",
        "\nGO\n",
        "\nGO 3\n",
        "\nGO;\n",
        "é",
        "\u{feff}",
        "🦀",
        "\0",
        " ",
        "BEGIN",
        "BEGIN TRAN",
        "COMMIT",
        "ROLLBACK",
        "END",
        "CASE",
        "ATOMIC",
        "CREATE",
        "FUNCTION f()",
        "PROCEDURE p",
        "AS",
        "TABLE t",
        "DROP",
        "ALTER",
        "COLUMN",
        "INDEX",
        "CONCURRENTLY",
        "USE x",
        "COPY t FROM STDIN",
        "ADD VALUE",
        "'a'",
        "SELECT 1",
        "-- onward: no-transaction\n",
        "-- onward: contract\n",
        "-- onward: title é\n",
        "-- onward: nope\n",
        "-- squawk-ignore x\n",
        "<<<<<<< a\n",
        "=======\n",
        ">>>>>>> b\n",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        6 => sql().prop_map(|text| Content::File(text.into_bytes())),
        4 => Just(Content::File(b"SELECT 1;\n".to_vec())),
        1 => vec(any::<u8>(), 0..200).prop_map(Content::File),
        1 => Just(Content::Other("a directory")),
        1 => Just(Content::Unreadable("permission denied".to_owned())),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (1..8_i32).prop_map(script_name),
        3 => Just("Baseline.sql".to_owned()),
        1 => (0..8_i32).prop_map(|number| format!("Baseline-{number:04}.sql")),
        1 => Just("scripts.lock".to_owned()),
        1 => Just("script-7.sql".to_owned()),
        1 => any::<String>(),
    ]
}

fn folder() -> impl Strategy<Value = Folder> {
    vec((name(), content()), 0..12).prop_map(|files| {
        let mut seen = BTreeSet::new();
        let entries = files.into_iter().filter(|(name, _)| seen.insert(name.clone()));
        Folder {
            path: "sql".to_owned(),
            entries: entries.map(|(name, content)| Entry { name, content }).collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_cover_the_text_in_order(text in sql(), dialect in dialect()) {
        let mut end = 0;
        for token in lex(&text, dialect) {
            prop_assert!(token.span.start >= end && token.span.end > token.span.start);
            let between = &text[end..token.span.start];
            prop_assert!(between.chars().all(|c| c.is_whitespace() || c == '\u{feff}'), "lost: {between:?}");
            end = token.span.end;
        }
    }

    #[test]
    fn statements_and_batches_lose_no_token(text in sql()) {
        let tokens = lex(&text, Dialect::Postgres);
        let code = tokens.iter().filter(|token| !token.is_comment() && token.text(&text) != ";");
        let in_statements: usize = statements(&text)
            .iter()
            .flat_map(|statement| &statement.tokens)
            .filter(|token| token.text(&text) != ";")
            .count();
        prop_assert_eq!(code.count(), in_statements);

        let separators = |token: &&onward_script::Token| token.is_word(&text, "go");
        let tokens = lex(&text, Dialect::SqlServer);
        let batches = batches(&text);
        for token in tokens.iter().filter(|token| !token.is_comment() && !separators(token)) {
            let inside = batches.iter().filter(|batch| batch.span.contains(&token.span.start)).count();
            let line = line_column(&text, token.span.start).line;
            let beside_go = tokens.iter().filter(separators).any(|go| line_column(&text, go.span.start).line == line);
            prop_assert!(inside == 1 || beside_go, "{:?} is in {inside} batches", token.text(&text));
        }
    }

    #[test]
    fn any_folder_gets_an_answer_and_no_gap_is_accepted(
        folder in folder(),
        dialect in dialect(),
        release in any::<bool>(),
    ) {
        let checked = check(&folder, CheckOptions { dialect, release, ..CheckOptions::default() }, &Known::default());
        for finding in &checked.findings {
            let rendered = render::render(finding, checked.sources.get(&finding.file).map(String::as_str));
            prop_assert!(!finding.help.is_empty() && rendered.contains(finding.rule.id()));
        }
        let has_error = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
        let Some(history) = checked.history else {
            prop_assert!(has_error, "refused without a reason");
            return Ok(());
        };
        prop_assert!(!has_error);
        let numbers: Vec<i32> = history.all().map(|script| script.number).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap: {numbers:?}");
        let embedded: BTreeSet<_> = history.all().map(onward_script::Script::file_name).collect();
        for entry in &folder.entries {
            let is_script =
                matches!(FileName::parse(&entry.name), FileName::Baseline { .. } | FileName::Script { .. });
            // A new script that holds no statement yet is left out.
            let is_blank = matches!(&entry.content, Content::File(bytes) if is_blank(bytes, dialect));
            let is_embedded = embedded.contains(&entry.name);
            prop_assert!(is_script == is_embedded || is_script && is_blank, "{}", entry.name);
        }
        prop_assert!(!release || history.all().all(|script| script.sealed));

        let mut lock = Lock { rules: Some(RULES_VERSION), ..Lock::default() };
        for script in history.all() {
            lock.push(&script.file_name(), script.digest);
        }
        let mut sealed = folder.clone();
        sealed.entries.retain(|entry| embedded.contains(&entry.name));
        sealed.entries.push(Entry { name: LOCK_FILE.to_owned(), content: Content::File(lock.to_text().into_bytes()) });
        let read = |trusts_lock| {
            let options = CheckOptions { dialect, release, trusts_lock };
            check(&sealed, options, &Known::default()).history.map(|history| {
                history.all().map(|script| (script.digest, script.directives.clone())).collect::<Vec<_>>()
            })
        };
        // What the rules find in drafts alone, they do not find in what is sealed.
        prop_assert_eq!(read(true), read(false), "the header says the same as the whole text");

        let bundle = Bundle::write(&history);
        let scripts: &'static [u8] = bundle.scripts.to_vec().leak();
        let manifest: &'static str = bundle.manifest.into_owned().leak();
        let read = Bundle::read(manifest, scripts, "").expect("reads what it writes");
        prop_assert_eq!(&read, &history);
    }

    #[test]
    fn a_lock_reads_what_it_writes_and_any_change_breaks_it(
        texts in vec("[a-z]{0,8}", 1..6),
        at in any::<proptest::sample::Index>(),
    ) {
        let mut lock = Lock::default();
        for (number, text) in texts.iter().enumerate() {
            lock.push(&format!("Script-{:04}.sql", number + 1), onward_script::Digest::of(text.as_bytes()));
        }
        let text = lock.to_text();
        prop_assert_eq!(&Lock::parse(&text).expect("reads what it writes"), &lock);
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| line.starts_with("Script")).expect("has a line");
        let line = first + at.index(lines.len() - first);
        let mut hex = lines[line].to_owned();
        let digit = hex.pop().expect("has a digit");
        hex.push(if digit == '0' { '1' } else { '0' });
        let changed: Vec<_> = lines.iter().enumerate().map(|(n, old)| if n == line { &hex } else { *old }).collect();
        prop_assert!(Lock::parse(&changed.join("\n")).is_err());
    }
}

/// The parser recurses. Text that is nested too deeply must get an answer and must not crash cargo.
#[test]
fn deeply_nested_text_gets_an_answer() {
    let deep = [
        format!("SELECT {}1{};", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {} true;", "NOT ".repeat(100_000)),
        format!("SELECT {}1;", "- ".repeat(100_000)),
        format!("SELECT {}1{};", "CASE WHEN true THEN ".repeat(50_000), " END".repeat(50_000)),
        format!("SELECT 1{};", " + 1".repeat(100_000)),
        format!("SELECT ARRAY{}1{};", "[".repeat(100_000), "]".repeat(100_000)),
        format!("SELECT a{};", "::int".repeat(100_000)),
        format!("{}{}", "/*".repeat(100_000), "*/".repeat(100_000)),
    ];
    for text in deep {
        for dialect in [Dialect::Postgres, Dialect::SqlServer] {
            let entries = vec![Entry {
                name: "Baseline.sql".to_owned(),
                content: Content::File(text.clone().into_bytes()),
            }];
            let folder = Folder { path: "sql".to_owned(), entries };
            let options = CheckOptions { dialect, release: false, ..CheckOptions::default() };
            let checked = check(&folder, options, &Known::default());
            assert_eq!(
                checked.history.is_some(),
                !checked.findings.iter().any(|f| f.severity == Severity::Error)
            );
        }
    }
}
