use std::ops::Range;

use crate::batch::{self, NoSeparator};
use crate::finding::{Finding, Severity};
use crate::lexer::{Token, TokenKind};
use crate::rule::Rule;
use crate::rules::Source;
use crate::text::line_span;
use crate::tsql::{self, Fault};

/// Finds what the server would refuse, in drafts; and in every script a `USE` that begins a statement.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    if !source.is_draft {
        return use_database(source);
    }
    let commands = sqlcmd(source);
    if !commands.is_empty() {
        return commands;
    }
    let separators = separators(source);
    // What follows a `GO` without effect would be judged as a part of the batch above it.
    let is_unchecked = source.directives.syntax_unchecked || !separators.is_empty();
    let structure = if is_unchecked { Vec::new() } else { structure(source) };
    [separators, use_database(source), structure].concat()
}

/// A `GO` that separates nothing becomes a name: `SELECT a FROM t` before it gets an alias, and what follows becomes part of the
/// batch, or of the procedure, above it.
fn separators(source: &Source<'_>) -> Vec<Finding> {
    let found = batch::without_effect(source.text, source.tokens);
    let finding = |(span, why): (Range<usize>, NoSeparator)| {
        let line = line_span(source.text, span.start);
        let (message, help, span) = match why {
            NoSeparator::NotFirst => (
                "this `GO` separates nothing, because it does not begin its line".to_owned(),
                "put `GO` on a line of its own, or write the name as `[GO]`",
                span,
            ),
            NoSeparator::Followed => (
                "this `GO` separates nothing, because its line goes on".to_owned(),
                "put `GO` on a line of its own; only a count and a `--` comment may follow it",
                span.start..line.end,
            ),
            NoSeparator::Count => (
                format!("the count of this `GO` is not 1 to {}", batch::MAX_COUNT),
                "correct the count, or delete the batch above it if it is not to run",
                span.start..line.end,
            ),
        };
        Finding::file(Rule::Syntax, source.path, message, help).at(span)
    };
    found.into_iter().map(finding).collect()
}

/// What sqlcmd and SSMS understand, and no server: a command on a line of its own, and a variable.
/// <https://learn.microsoft.com/sql/tools/sqlcmd/sqlcmd-use-scripting-variables>
fn sqlcmd(source: &Source<'_>) -> Vec<Finding> {
    let commands = [
        "connect",
        "ed",
        "error",
        "exit",
        "help",
        "list",
        "listvar",
        "on",
        "out",
        "perftrace",
        "quit",
        "r",
        "reset",
        "serverlist",
        "setvar",
        "xml",
    ];
    let text = source.text;
    let begins_line = |start: usize| text[line_span(text, start).start..start].trim().is_empty();
    let mut findings = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        let next = source.tokens.get(index + 1).filter(|next| next.span.start == token.span.end);
        let is = |symbol: char| token.kind == TokenKind::Symbol(symbol);
        let is_command = is(':')
            && begins_line(token.span.start)
            && next.is_some_and(|next| commands.iter().any(|word| next.is_word(text, word)));
        let follows = |symbol: char| next.is_some_and(|next| next.kind == TokenKind::Symbol(symbol));
        let line_end = || line_span(text, token.span.start).end;
        let found = match () {
            () if is_command || is('!') && follows('!') && begins_line(token.span.start) => {
                Some(("a command of sqlcmd is not SQL", "remove the line", token.span.start..line_end()))
            }
            () if is('$') && follows('(') => {
                let line = &text[token.span.start..line_end()];
                let end = token.span.start + line.find(')').map_or(line.len(), |at| at + 1);
                Some(("a variable of sqlcmd is not SQL", "write its value", token.span.start..end))
            }
            () => None,
        };
        findings.extend(
            found.map(|(message, help, span)| {
                Finding::file(Rule::Syntax, source.path, message, help).at(span)
            }),
        );
    }
    findings
}

/// What the server's parser would refuse.
fn structure(source: &Source<'_>) -> Vec<Finding> {
    let faults = tsql::check(source.text, source.tokens).into_iter();
    let finding = |Fault { span, message, help, is_doubtful }: Fault| {
        let severity = if is_doubtful { Severity::Warning } else { Severity::Error };
        Finding::file(Rule::Syntax, source.path, message, help).at(span).severity(severity)
    };
    faults.map(finding).collect()
}

/// After `USE`, the migrator would write the journal and run the next script in another database. In a string that `EXEC` runs it
/// holds to the end of the string.
/// <https://learn.microsoft.com/sql/t-sql/language-elements/execute-transact-sql#remarks>
fn use_database(source: &Source<'_>) -> Vec<Finding> {
    let text = source.text;
    let tokens: Vec<_> = source.tokens.iter().filter(|token| !token.is_comment()).collect();
    // A sealed script passed when only a `USE` that begins a line or follows a semicolon was found.
    let is_statement = |index: usize| {
        let before = &text[line_span(text, tokens[index].span.start).start..tokens[index].span.start];
        let is_behind =
            |symbol| index.checked_sub(1).is_some_and(|it| tokens[it].kind == TokenKind::Symbol(symbol));
        before.trim().is_empty() || is_behind(';') || source.is_draft && !is_behind('.')
    };
    let executes = |string: usize| {
        let before: Vec<_> =
            tokens[..string].iter().rev().filter(|it| !it.is_word(text, "n")).take(4).collect();
        let is = |place: usize, word: &str| before.get(place).is_some_and(|token| token.is_word(text, word));
        let is_open = before.first().is_some_and(|token| token.kind == TokenKind::Symbol('('));
        is_open && (is(1, "exec") || is(1, "execute")) || (0..4).any(|place| is(place, "sp_executesql"))
    };
    // The body of a procedure runs later.
    let modules: Vec<_> = batch::split(text, source.tokens)
        .into_iter()
        .filter(|batch| batch::creates_module(text, &batch.code(source.tokens)))
        .collect();
    let runs_now = |token: &Token| !modules.iter().any(|batch| batch.span.contains(&token.span.start));
    let mut findings = Vec::new();
    let mut found = |span: Range<usize>, message: &str| {
        let help = "remove it: `DATABASE_URL` chooses the database";
        findings.push(Finding::file(Rule::Syntax, source.path, message, help).at(span));
    };
    for (index, token) in tokens.iter().enumerate() {
        if token.kind == TokenKind::String {
            let is_use = source.is_draft && begins_with_use(token.text(text));
            if is_use && executes(index) && runs_now(token) {
                found(token.span.clone(), "`USE` in this string runs what follows it in another database");
            }
            continue;
        }
        let Some(name) = tokens.get(index + 1) else { continue };
        let names_database = matches!(name.kind, TokenKind::Word | TokenKind::QuotedName);
        // `OPTION (USE HINT (…))` and `(…, USE PLAN …)` are hints.
        let is_hint = name.is_word(text, "hint") || name.is_word(text, "plan");
        if token.is_word(text, "use") && names_database && !is_hint && is_statement(index) {
            found(token.span.start..name.span.end, "`USE` switches the migrator to another database");
        }
    }
    findings
}

/// Whether the text of a string begins with a `USE` statement.
fn begins_with_use(string: &str) -> bool {
    let inside = string.trim_start_matches(['N', 'n', '\'']).trim_start();
    let word = inside.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("use"));
    word && inside[3..].starts_with([' ', '\t', '\n', '['])
}
