use std::ops::Range;

use super::{Source, shared_objects};
use crate::batch;
use crate::danger::Danger;
use crate::dialect::Dialect;
use crate::directive;
use crate::finding::{Finding, Severity};
use crate::lexer::TokenKind;
use crate::rule::Rule;
use crate::tsql;

/// Finds DDL that locks or rewrites a table, or has surprising effects later, and that no comment allows.
pub(crate) fn check(source: &Source<'_>, dialect: Dialect, release: bool) -> Vec<Finding> {
    let severity = if release { Severity::Error } else { Severity::Warning };
    let (allowed, mut findings) = allowed(source, dialect);
    let mut is_used = vec![false; allowed.len()];
    for Danger { rule, span, message, help } in dangers(source, dialect) {
        let by = allowed.iter().position(|it| it.rule == rule && it.statement.contains(&span.start));
        if let Some(by) = by {
            is_used[by] = true;
            continue;
        }
        let help = format!("{help}; or allow it with a reason: `-- onward: allow {rule} REASON`");
        findings.push(Finding::file(Rule::Lint, source.path, format!("{rule}: {message}"), help).at(span));
    }
    let unused = allowed.iter().zip(is_used).filter(|(_, is_used)| !is_used);
    findings.extend(unused.map(|(allowed, _)| allowed.unused(Rule::Lint, source.path)));
    #[cfg(feature = "postgres")]
    if dialect == Dialect::Postgres {
        findings.extend(super::squawk::ignored_without_reason(source));
    }
    findings.into_iter().map(|finding| finding.severity(severity)).collect()
}

fn dangers(source: &Source<'_>, dialect: Dialect) -> Vec<Danger> {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => [super::squawk::dangers(source), shared_objects::dangers(source)].concat(),
        #[cfg(not(feature = "postgres"))]
        Dialect::Postgres => shared_objects::dangers(source),
        Dialect::SqlServer => tsql::dangers(source.text, source.tokens),
    }
}

fn knows(dialect: Dialect, rule: &str) -> bool {
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => shared_objects::RULES.contains(&rule) || super::squawk::knows(rule),
        // Without its parser nothing is known of the rules of PostgreSQL.
        #[cfg(not(feature = "postgres"))]
        Dialect::Postgres => true,
        Dialect::SqlServer => tsql::DANGERS.contains(&rule),
    }
}

/// A comment `-- onward: allow RULE REASON`.
pub(super) struct Allowed<'a> {
    pub rule: &'a str,
    pub reason: &'a str,
    pub comment: Range<usize>,
    /// What it is about: the statement below it.
    pub statement: Range<usize>,
}

impl Allowed<'_> {
    /// The finding for a comment that nothing needs.
    pub(super) fn unused(&self, rule: Rule, path: &str) -> Finding {
        let message =
            format!("`allow {}` has no effect: the statement below it does nothing of that kind", self.rule);
        let help = "remove the comment, or put it directly above the statement that it is about";
        Finding::file(rule, path, message, help).at(self.comment.clone())
    }

    /// What is wrong with the comment itself. A reason is mandatory, or the next reader can only guess.
    pub(super) fn fault(&self, known: bool, rules: &str) -> Option<(String, String)> {
        let Self { rule, reason, .. } = self;
        match () {
            () if !known => Some((format!("`allow` of `{rule}`, which is no rule"), rules.to_owned())),
            () if reason.is_empty() => Some((
                format!("`allow {rule}` without a reason"),
                format!("write `-- onward: allow {rule} REASON`"),
            )),
            () => None,
        }
    }
}

/// The comments that allow something.
pub(super) fn comments<'a>(source: &'a Source<'_>, dialect: Dialect) -> Vec<Allowed<'a>> {
    let allowed = source.tokens.iter().enumerate().filter_map(|(index, token)| {
        let words = directive::words(token, source.text)?.strip_prefix("allow")?;
        if !words.is_empty() && !words.starts_with(char::is_whitespace) {
            return None;
        }
        let (rule, reason) = words.trim().split_once(char::is_whitespace).unwrap_or((words.trim(), ""));
        let (comment, statement) = (token.span.clone(), statement_below(source, dialect, index));
        Some(Allowed { rule, reason: reason.trim(), comment, statement })
    });
    allowed.collect()
}

/// The comments that allow something, and what is wrong with others.
fn allowed<'a>(source: &'a Source<'_>, dialect: Dialect) -> (Vec<Allowed<'a>>, Vec<Finding>) {
    let (mut allowed, mut findings) = (Vec::new(), Vec::new());
    for comment in comments(source, dialect) {
        match comment.fault(knows(dialect, comment.rule), &rules(dialect)) {
            Some((message, help)) => {
                findings.push(Finding::file(Rule::Lint, source.path, message, help).at(comment.comment));
            }
            None => allowed.push(comment),
        }
    }
    (allowed, findings)
}

fn rules(dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => "write the name that the finding begins with".to_owned(),
        Dialect::SqlServer => format!("use one of these: {}", tsql::DANGERS.join(", ")),
    }
}

/// The statement that a comment is about: up to its semicolon. In T-SQL, where a semicolon is optional, a blank line and `GO` end
/// it, too.
fn statement_below(source: &Source<'_>, dialect: Dialect, comment: usize) -> Range<usize> {
    let Source { text, tokens, .. } = source;
    let code = tokens[comment..].iter().filter(|token| !token.is_comment());
    let start = code.clone().next().map_or(text.len(), |token| token.span.start);
    let mut end = start;
    let mut depth = 0_i32;
    for token in code {
        let gap = &text[end..token.span.start];
        let is_paragraph =
            gap.lines().skip(1).any(|line| line.trim().is_empty()) && gap.matches('\n').count() > 1;
        let is_new_batch = batch::is_separator(text, token);
        if dialect == Dialect::SqlServer && (is_paragraph || is_new_batch) {
            break;
        }
        match token.kind {
            TokenKind::Symbol('(') => depth += 1,
            TokenKind::Symbol(')') => depth -= 1,
            TokenKind::Symbol(';') if depth <= 0 => break,
            _ => {}
        }
        end = token.span.end;
    }
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn found(text: &str, dialect: Dialect) -> Vec<String> {
        let (directives, _) = directive::parse("x", text, &lex(text, dialect));
        let tokens = lex(text, dialect);
        let source = Source::new("x", text, &tokens, true, &directives);
        check(&source, dialect, false).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_comment_allows_one_rule_in_one_statement() {
        let allow = "-- onward: allow index-offline a small table";
        let index = "CREATE INDEX i ON t (a)";
        let sql = |text: String| found(&text, Dialect::SqlServer);
        assert_eq!(sql(format!("{allow}\n{index}")), [""; 0]);
        assert_eq!(sql(format!("SELECT 1;\n{allow}\n-- more\nIF 1 = 1\n    {index}")), [""; 0]);
        for text in [
            format!("{allow}\n{index};\n{index}"),
            format!("{allow}\n{index}\n\n{index}"),
            format!("{allow}\n{index}\nGO\n{index}"),
        ] {
            assert_eq!(sql(text.clone()).len(), 1, "{text}");
        }
        for (text, expected) in [
            (
                "-- onward: allow select-into why\nCREATE INDEX i ON #t (a)",
                "`allow select-into` has no effect",
            ),
            ("-- onward: allow index-offline\nCREATE INDEX i ON #t (a)", "without a reason"),
            ("-- onward: allow index why\nSELECT 1", "`allow` of `index`, which is no rule"),
            ("-- onward: allow\nSELECT 1", "`allow` of ``, which is no rule"),
        ] {
            let found = sql(text.to_owned());
            assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn the_same_comment_allows_a_rule_of_squawk() {
        let alter = "ALTER TABLE t ADD COLUMN a bigint NOT NULL;";
        let rule = found(alter, Dialect::Postgres)[0].split(':').next().expect("has a name").to_owned();
        let allowed = format!("-- onward: allow {rule} the table is empty\n\n{alter}");
        assert_eq!(found(&allowed, Dialect::Postgres), [""; 0]);
        assert_eq!(found(&format!("{allowed}\n{alter}"), Dialect::Postgres).len(), 1);
    }
}
