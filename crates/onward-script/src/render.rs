//! Renders a finding as text for a person.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::finding::{Finding, Severity};
use crate::text::on_one_line;

/// Renders a finding in rustc's form, without colour: the message, the place with a caret, the help.
///
/// `source` is the normalised text of the file, if the finding points into it.
#[must_use]
pub fn render(finding: &Finding, source: Option<&str>) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // A name with a line end or an escape sequence must not write lines of its own.
    let file = on_one_line(&finding.file);
    let title = level.primary_title(finding.message.as_str()).id(finding.rule.id());
    let place = match (source, &finding.span) {
        (Some(source), Some(span)) => {
            let end = visible_end(source, span);
            let annotation = AnnotationKind::Primary.span(span.start..end);
            let snippet = Snippet::source(source).path(file.as_str()).annotation(annotation);
            Group::with_title(title).element(snippet)
        }
        _ => Group::with_title(title).element(Origin::path(file.as_str())),
    };
    let report = &[place.element(Level::HELP.message(finding.help.as_str()))];
    Renderer::plain().render(report)
}

/// The end of the first line of a statement: the caret does not mark the other lines.
fn visible_end(source: &str, span: &std::ops::Range<usize>) -> usize {
    let line = source[span.start..].find('\n').map_or(source.len(), |newline| span.start + newline);
    span.end.min(line).max(span.start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;

    #[test]
    fn a_name_cannot_write_lines_of_its_own() {
        let finding =
            Finding::file(Rule::UnexpectedFile, "sql/a\ncargo::error=\u{1b}[2J.sql", "message", "help");
        let shown = render(&finding, None);
        assert!(shown.contains("sql/a\\ncargo::error=\\u{1b}[2J.sql"), "{shown}");
    }
}
