//! What the build finds in T-SQL. `cargo bench --bench tsql -- FOLDER…` checks every `.sql` file below the folders as a draft, and
//! prints what it finds and how long that takes; on files that a server accepts each error is a false alarm.
//! `cargo bench --bench tsql -- --mutants OUT SEED FOLDER…` writes each file with one token deleted, doubled, misspelt or swapped
//! with its neighbour, for a parser that says which of them a server refuses.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use onward_script::{
    CheckOptions, Content, Dialect, Entry, Folder, Known, Rule, Severity, check, lex, line_column,
};

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match given.split_first() {
        Some((first, [out, seed, folders @ ..])) if first == "--mutants" => {
            write_mutants(Path::new(out), seed.parse().expect("is a number"), folders);
        }
        _ => report(&given),
    }
}

fn report(folders: &[String]) {
    let files: Vec<(PathBuf, String)> = texts(folders).collect();
    let begun = Instant::now();
    let found: Vec<_> = files.iter().map(|(path, text)| (path, findings(text))).collect();
    let took = begun.elapsed();
    let mut wrong = 0;
    for (path, findings) in &found {
        wrong += usize::from(findings.iter().any(|(severity, ..)| *severity == Severity::Error));
        for (severity, line, message) in findings {
            say(&format!("{}:{line}: {severity:?}: {message}", path.display()));
        }
    }
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    say(&format!("{} files of {bytes} bytes in {took:?}; {wrong} with errors", files.len()));
}

/// The findings about the text's syntax, with their lines.
fn findings(text: &str) -> Vec<(Severity, usize, String)> {
    let entry = Entry { name: "Baseline.sql".to_owned(), content: Content::File(text.as_bytes().to_vec()) };
    let folder = Folder { path: "sql".to_owned(), entries: vec![entry] };
    let options = CheckOptions { dialect: Dialect::SqlServer, release: false, ..CheckOptions::default() };
    let checked = check(&folder, options, &Known::default());
    let source = checked.sources.get("sql/Baseline.sql").map_or("", String::as_str);
    let of_syntax = checked.findings.into_iter().filter(|finding| finding.rule == Rule::Syntax);
    let shown = of_syntax.map(|finding| {
        let line = finding.span.map_or(0, |span| line_column(source, span.start).line);
        (finding.severity, line, format!("{}; {}", finding.message, finding.help))
    });
    shown.collect()
}

fn write_mutants(out: &Path, seed: u64, folders: &[String]) {
    std::fs::create_dir_all(out).expect("is created");
    let mut random = fastrand::Rng::with_seed(seed);
    for (number, (_, text)) in texts(folders).enumerate() {
        if let Some(mutant) = mutant(&text, &mut random) {
            std::fs::write(out.join(format!("{number:05}.sql")), mutant).expect("is written");
        }
    }
}

fn mutant(text: &str, random: &mut fastrand::Rng) -> Option<String> {
    let tokens: Vec<_> =
        lex(text, Dialect::SqlServer).into_iter().filter(|token| !token.is_comment()).collect();
    let at = random.usize(..tokens.len().checked_sub(1).filter(|most| *most > 0)?);
    let (this, next) = (tokens[at].span.clone(), tokens[at + 1].span.clone());
    let (before, word, after) = (&text[..this.start], &text[this.clone()], &text[this.end..]);
    Some(match random.u8(..4) {
        0 => format!("{before}{after}"),
        1 => format!("{before}{word} {word}{after}"),
        2 => format!("{before}{}{after}", misspelt(word, random)),
        _ => {
            let between = &text[this.end..next.start];
            format!("{before}{}{between}{word}{}", &text[next.clone()], &text[next.end..])
        }
    })
}

/// A word with one letter left out.
fn misspelt(word: &str, random: &mut fastrand::Rng) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    letters.remove(random.usize(..letters.len()));
    letters.into_iter().collect()
}

/// Every `.sql` file below the folders, in the order of its path, with its text; some tools write UTF-16 or Latin-1.
fn texts(folders: &[String]) -> impl Iterator<Item = (PathBuf, String)> {
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|folder| below(Path::new(folder))).collect();
    files.sort();
    files.into_iter().map(|path| {
        let bytes = std::fs::read(&path).expect("is readable");
        (path, decoded(&bytes))
    })
}

fn below(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("is readable");
        return entries.flat_map(|entry| below(&entry.expect("is readable").path())).collect();
    }
    let is_sql = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    if is_sql { vec![path.to_owned()] } else { Vec::new() }
}

fn decoded(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        },
    }
}

fn say(line: &str) {
    // A reader such as `head` may have ended.
    let _ = writeln!(std::io::stdout(), "{line}");
}
