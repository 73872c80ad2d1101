use std::panic::{AssertUnwindSafe, catch_unwind};

use squawk_linter::{Linter, Rule as Squawk, Violation};
use squawk_syntax::{Parse, SourceFile};

use super::{Source, data};
use crate::danger::Danger;
use crate::finding::Finding;
use crate::lexer::TokenKind;
use crate::rule::Rule;

/// The rules of squawk that do not apply here. Our own rules cover transactions and contracts, the journal makes
/// `IF NOT EXISTS` unnecessary, and timeouts are options of `app migrate`.
const NOT_APPLIED: &[Squawk] = &[
    Squawk::BanConcurrentIndexCreationInTransaction,
    Squawk::BanDropColumn,
    Squawk::BanDropDatabase,
    Squawk::BanDropDomain,
    Squawk::BanDropFunction,
    Squawk::BanDropSchema,
    Squawk::BanDropSequence,
    Squawk::BanDropTable,
    Squawk::BanDropType,
    Squawk::BanDropView,
    Squawk::BanSetSchema,
    Squawk::BanUncommittedTransaction,
    Squawk::PreferRobustStmts,
    Squawk::RenamingColumn,
    Squawk::RenamingObject,
    Squawk::RenamingTable,
    Squawk::RequireLockTimeout,
    Squawk::RequireStatementTimeout,
    Squawk::TransactionNesting,
];

/// The deepest nesting that the parser gets. The database checks deeper text; its own stack ends at a few
/// thousand levels.
const DEEPEST: usize = 1_000;

/// Finds DDL that locks or rewrites a table, or has surprising effects later, by squawk's rules.
pub(crate) fn dangers(source: &Source<'_>) -> Vec<Danger> {
    let violations = parsed(source, |parse| {
        let mut linter = Linter::with_rules(&[], NOT_APPLIED);
        linter.settings.assume_in_transaction = !source.directives.no_transaction;
        linter.lint(parse, source.text)
    });
    let danger = |violation: Violation| {
        let start = usize::from(violation.text_range.start()).min(source.text.len());
        let end = usize::from(violation.text_range.end()).clamp(start, source.text.len());
        let rule = violation.code.to_string();
        let help = match violation.help {
            Some(help) => help.trim_end_matches('.').to_owned(),
            None => format!("see squawk's page on `{rule}`"),
        };
        Danger { rule, span: start..end, message: violation.message.trim_end_matches('.').to_owned(), help }
    };
    violations.unwrap_or_default().into_iter().map(danger).collect()
}

/// Whether it is a rule that applies here.
pub(crate) fn knows(rule: &str) -> bool {
    Squawk::try_from(rule).is_ok_and(|rule| !NOT_APPLIED.contains(&rule))
}

/// An ignored rule needs its reason, or the next reader can only guess.
pub(crate) fn ignored_without_reason(source: &Source<'_>) -> Vec<Finding> {
    let comments = source.tokens.iter().filter(|token| token.kind == TokenKind::LineComment);
    let found = comments.filter(|token| {
        let comment = token.text(source.text).trim_start_matches('-').trim_start();
        let reason = comment.split_once("--").map_or("", |(_, reason)| reason.trim());
        comment.starts_with("squawk-ignore") && reason.is_empty()
    });
    found
        .map(|token| {
            let help = "write `-- squawk-ignore RULE -- REASON`";
            Finding::file(Rule::Lint, source.path, "squawk-ignore without a reason", help)
                .at(token.span.clone())
        })
        .collect()
}

/// Runs a function over the parsed text; `None` if the parser could not handle the text.
///
/// The parser recurses and has no limit of its own, so text that is nested too deeply does not reach it. A panic
/// of the parser would stop a build script, so it counts as nothing found.
pub(crate) fn parsed<T>(source: &Source<'_>, run: impl FnOnce(&Parse<SourceFile>) -> T) -> Option<T> {
    let parse = source.parse.get_or_init(|| {
        if deepest(source) > DEEPEST {
            return None;
        }
        let text = data::left_out(source.text, source.tokens);
        catch_unwind(AssertUnwindSafe(|| SourceFile::parse(&text))).ok()
    });
    catch_unwind(AssertUnwindSafe(|| Some(run(parse.as_ref()?)))).ok().flatten()
}

/// An upper bound of how deep the parser can get. It counts open parentheses, and words and signs that may each
/// open an expression of their own (`CASE`, `NOT`, `-`). A chain of casts counts too: the parser's time for
/// `a::b::c` grows with the square of its length.
fn deepest(source: &Source<'_>) -> usize {
    let (mut depth, mut run, mut deepest) = (0_usize, 0_usize, 0_usize);
    let mut is_cast = false;
    for token in source.tokens.iter().filter(|token| !token.is_comment()) {
        match token.kind {
            TokenKind::Symbol('(' | '[') => depth += 1,
            TokenKind::Symbol(')' | ']') => depth = depth.saturating_sub(1),
            TokenKind::Symbol(';') => (depth, run) = (0, 0),
            TokenKind::Symbol('-' | '+' | '~' | '@' | '!' | ':') => run += 1,
            TokenKind::Word if is_cast => {}
            TokenKind::Word if token.is_word(source.text, "case") => depth += 1,
            TokenKind::Word if token.is_word(source.text, "end") => depth = depth.saturating_sub(1),
            TokenKind::Word if token.is_word(source.text, "not") => run += 1,
            _ => run = 0,
        }
        is_cast = token.kind == TokenKind::Symbol(':');
        deepest = deepest.max(depth + run);
    }
    deepest
}
