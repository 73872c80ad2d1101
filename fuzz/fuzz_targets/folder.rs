//! Any folder, any bytes: the check ends with a history without a gap, or with errors that say why. The byte `\xff`
//! separates files; the first byte of each file chooses its name. `cargo +nightly fuzz run folder`

#![no_main]

use libfuzzer_sys::fuzz_target;
use onward_script::{Content, Dialect, Entry, Folder, Known, CheckOptions, Severity, check, render, script_name};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let dialect = if first & 1 == 0 { Dialect::Postgres } else { Dialect::SqlServer };
    let mut entries: Vec<Entry> = Vec::new();
    for (index, file) in rest.split(|byte| *byte == 0xff).enumerate() {
        let (name, content) = match (index, file.split_first()) {
            (0, _) => ("Baseline.sql".to_owned(), file),
            (_, Some((name, content))) => match name % 16 {
                0 => ("scripts.lock".to_owned(), content),
                1 => (String::from_utf8_lossy(content).into_owned(), content),
                number => (script_name(i32::from(number) - 1), content),
            },
            (_, None) => continue,
        };
        if entries.iter().all(|entry| entry.name != name) {
            entries.push(Entry { name, content: Content::File(content.to_vec()) });
        }
    }
    let folder = Folder { path: "sql".to_owned(), entries };
    let checked = check(&folder, CheckOptions { dialect, release: first & 2 != 0, ..CheckOptions::default() }, &Known::default());
    for finding in &checked.findings {
        render::render(finding, checked.sources.get(&finding.file).map(String::as_str));
    }
    let has_error = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(checked.history.is_none(), has_error);
    if let Some(history) = checked.history {
        let numbers: Vec<i32> = history.all().map(|script| script.number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap: {numbers:?}");
    }
});
