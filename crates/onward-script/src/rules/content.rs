use crate::directive::only_comments;
use crate::finding::{Finding, Severity};
use crate::lexer::Token;
use crate::rule::Rule;
use crate::text::line_span;

/// Finds text that cannot be a script: nothing to run, a NUL character, or an unfinished merge. A script that is new may have
/// nothing to run yet.
pub(crate) fn check(path: &str, text: &str, tokens: &[Token], is_new: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(at) = text.find('\0') {
        let help = "save the file as UTF-8 text; a NUL character often means that the file is UTF-16";
        let finding = Finding::file(Rule::Content, path, "a NUL character", help);
        findings.push(finding.at(at..at + 1));
    }
    if let Some(at) = conflict_marker(text) {
        let help = "resolve the merge and remove the markers";
        let finding = Finding::file(Rule::Content, path, "an unresolved merge conflict", help);
        findings.push(finding.at(line_span(text, at)));
    }
    let is_blank = only_comments(tokens) && tokens.iter().all(|token| token.fault.is_none());
    if is_blank && is_new && findings.is_empty() {
        let help = "write a statement; until then nothing else needs the file";
        let message = "the script holds no statement yet, so it is left out";
        let finding = Finding::file(Rule::Content, path, message, help);
        findings.push(finding.severity(Severity::Warning));
    } else if text.trim().is_empty() {
        let help = "write the script, or delete the file";
        findings.push(Finding::file(Rule::Content, path, "the script is empty", help));
    } else if is_blank {
        let help = "write a statement, or delete the file; `SELECT 1;` is a script that does nothing";
        let message = "the script holds no statement, only comments";
        findings.push(Finding::file(Rule::Content, path, message, help));
    }
    findings
}

/// The offset of the first line that begins with a conflict marker of git. `=======` alone may be text, so only
/// the outer two markers count.
fn conflict_marker(text: &str) -> Option<usize> {
    let marks = ["<<<<<<< ", ">>>>>>> "];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if marks.iter().any(|mark| line.starts_with(mark)) {
            return Some(at);
        }
        at += line.len();
    }
    None
}
