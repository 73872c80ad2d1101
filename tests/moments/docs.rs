//! The book is complete: it has every command, option, metric and rule, and all of its links work.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{app, run};
use crate::tidy::root;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(name: &str) -> String {
    read(&root().join("docs").join(name))
}

/// Compares a page with the app's present text; `UPDATE_DOCS=1` writes the page.
fn is_current(name: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join("docs").join(name), text).expect("is writable");
    }
    assert_eq!(page(name), text, "docs/{name} is outdated: run UPDATE_DOCS=1 cargo test --test moments docs");
}

fn said(arguments: &[&str]) -> String {
    let said = run(app().env("APP_ENV", "development").args(arguments));
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
    said.stdout
}

#[test]
fn the_rules_are_documented_by_their_table() {
    is_current("rules.md", &said(&["script", "rules"]));
}

#[test]
fn the_command_line_is_documented_by_its_help() {
    let mut text = String::from(
        "# Command line\n\nThe program is called as your package is; here it is `app`. This page is the text of `--help` for \
         each command. [Configuration](configuration.md) has the variables, [production](production.md#exit-codes) the exit \
         codes.\n",
    );
    describe(&mut Vec::new(), &mut text);
    is_current("command-line.md", &text);
}

/// Adds the help of a command and of those below it.
fn describe(command: &mut Vec<String>, text: &mut String) {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    let title = ["app"].into_iter().chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
    arguments.push("--help");
    let help = said(&arguments);
    let heading = "#".repeat(2 + usize::from(command.len() > 1));
    text.push_str(&format!("\n{heading} `{title}`\n\n```text\n{}\n```\n", help.trim()));
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| line.starts_with("  ")) {
        // A long description continues in a line with more indentation.
        if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            command.push(name.split(' ').next().unwrap_or_default().to_owned());
            describe(command, text);
            command.pop();
        }
    }
}

/// The public fields of a struct, from its source.
fn fields(source: &str, of: &str) -> Vec<String> {
    let text = read(&root().join(source));
    let body = text.split(&format!("pub struct {of} {{")).nth(1).expect("the struct is there");
    let body = body.split("\n}").next().expect("it ends");
    let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_option_of_a_worker_is_documented() {
    let (page, fields) = (page("configuration.md"), fields("crates/onward-worker/src/options.rs", "Options"));
    assert!(fields.len() > 8, "{fields:?}");
    for field in fields {
        assert!(
            page.contains(&format!("`{field}`")),
            "docs/configuration.md does not have the option {field}"
        );
    }
    let help = said(&["serve", "--help"]);
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(|c| !is_part(c)).next());
    let variables: Vec<_> = variables.collect();
    assert!(variables.len() > 17, "{variables:?}");
    for variable in variables {
        assert!(page.contains(&format!("`{variable}`")), "docs/configuration.md does not have {variable}");
    }
}

#[test]
fn every_metric_and_its_label_values_are_documented() {
    let (page, source) = (page("metrics.md"), read(&root().join("crates/onward/src/telemetry/metrics.rs")));
    // What is emitted for Prometheus is compared in a test of the outbox, whose app emits all of it.
    let names: Vec<_> =
        source.lines().filter_map(|line| line.trim().strip_prefix("name: \"")?.strip_suffix("\",")).collect();
    assert!(names.len() > 11, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/metrics.md does not have {name}");
    }
    let values = source.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next());
    for value in values.filter(|value| !value.is_empty()) {
        assert!(
            page.contains(&format!("`{value}`")),
            "docs/metrics.md does not have the label value {value}"
        );
    }
}

/// Every Markdown file that a reader may open.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("is there").flatten().map(|entry| entry.path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/README.md"];
    pages.extend(others.map(|name| root().join(name)));
    pages.sort();
    pages
}

/// The targets of a page's links, outside of its code.
fn links(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let prose = if in_code { String::new() } else { line.split('`').step_by(2).collect() };
        found.extend(prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned));
    }
    found
}

/// The anchors of a page, as forges make them of headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_works() {
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().expect("is in a folder").join(path),
            };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            let has = anchor.is_empty() || anchors(&read(&target)).iter().any(|known| known == anchor);
            assert!(has, "{}: {link}: there is no such heading", page.display());
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}

#[test]
fn the_summary_names_every_page() {
    let summary = page("SUMMARY.md");
    for path in pages().iter().filter(|path| path.parent().is_some_and(|folder| folder.ends_with("docs"))) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "the summary lacks {name}");
    }
}
