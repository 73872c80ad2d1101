use crate::dialect::Dialect;
use crate::finding::Finding;
use crate::lexer::{Token, TokenKind, lex};
use crate::rule::Rule;

/// What a script's header asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// `-- onward: no-transaction`: the script runs alone and outside a transaction.
    pub no_transaction: bool,
    /// `-- onward: contract`: the script removes something that an older binary may use.
    pub contract: bool,
    /// `-- onward: title Orders get a currency`.
    pub title: Option<String>,
    /// `-- onward: syntax-unchecked REASON`: the build leaves the syntax to the server.
    pub syntax_unchecked: bool,
    /// `-- onward: was V7__orders.sql`: the name under which another tool ran the script.
    pub was: Option<String>,
    /// `-- onward: after NAME`: the scripts in `always/` that this one runs after.
    pub after: Vec<String>,
}

const KNOWN: &str =
    "no-transaction, contract, title TEXT, syntax-unchecked REASON, was NAME, after NAME, allow RULE REASON";

/// Reads the directives out of a script's header: the comments before its first statement.
///
/// A directive elsewhere, an unknown directive and a repeated directive are findings. Otherwise nobody would
/// notice before production that a directive has no effect.
pub(crate) fn parse(path: &str, source: &str, tokens: &[Token]) -> (Directives, Vec<Finding>) {
    let mut directives = Directives::default();
    let mut findings = Vec::new();
    let mut in_header = true;
    for token in tokens {
        in_header &= token.is_comment();
        let Some(words) = words(token, source) else { continue };
        if words.split_whitespace().next() == Some("allow") {
            // The lint reads it: it stands above the statement that it is about.
            continue;
        }
        let mut fault = |message: String, help: &str| {
            findings.push(Finding::file(Rule::Directive, path, message, help).at(token.span.clone()));
        };
        if !in_header {
            let help = "move it to the top of the file, above the first statement";
            fault("a directive after the first statement has no effect".to_owned(), help);
        } else if let Err((message, help)) = directives.set(words) {
            fault(message, &help);
        }
    }
    (directives, findings)
}

/// The directives of a text that has passed the rules. Only its header is read, which may be much shorter than the rest.
pub(crate) fn of_header(source: &str, dialect: Dialect) -> Directives {
    // A block comment may go on behind a line that looks like the end of the header, so the next try reads more.
    let mut end = 4096;
    loop {
        let header = &source[..source.floor_char_boundary(end)];
        let tokens = lex(header, dialect);
        let is_whole = header.len() == source.len();
        let code = tokens.iter().find(|token| !token.is_comment());
        // The last token may have been cut.
        if is_whole || code.is_some_and(|code| code.span.end < header.len()) {
            return parse("", source, &tokens).0;
        }
        end *= 4;
    }
}

impl Directives {
    fn set(&mut self, words: &str) -> Result<(), (String, String)> {
        let (name, argument) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let argument = argument.trim();
        let twice = || (format!("directive `{name}` is given twice"), "remove one of them".to_owned());
        let flag = |flag: &mut bool| match (argument.is_empty(), std::mem::replace(flag, true)) {
            (false, _) => Err((
                format!("directive `{name}` takes no argument"),
                format!("write `-- onward: {name}` on a line of its own"),
            )),
            (true, true) => Err(twice()),
            (true, false) => Ok(()),
        };
        match name {
            "no-transaction" => flag(&mut self.no_transaction),
            "contract" => flag(&mut self.contract),
            "title" if argument.is_empty() => Err((
                "directive `title` has no text".to_owned(),
                "write `-- onward: title What the script does`".to_owned(),
            )),
            "title" if self.title.is_some() => Err(twice()),
            "title" => {
                self.title = Some(argument.to_owned());
                Ok(())
            }
            "syntax-unchecked" if argument.is_empty() => Err((
                "directive `syntax-unchecked` has no reason".to_owned(),
                "write `-- onward: syntax-unchecked REASON`".to_owned(),
            )),
            "syntax-unchecked" if self.syntax_unchecked => Err(twice()),
            "syntax-unchecked" => {
                self.syntax_unchecked = true;
                Ok(())
            }
            "after" if argument.is_empty() || self.after.iter().any(|after| after == argument) => Err((
                "directive `after` has no name of its own".to_owned(),
                "write `-- onward: after NAME` once for each script in `always/` that must run before"
                    .to_owned(),
            )),
            "after" => {
                self.after.push(argument.trim_end_matches(".sql").to_owned());
                Ok(())
            }
            "was" if argument.is_empty() || argument.contains('\t') => Err((
                "directive `was` has no name of a script".to_owned(),
                "write `-- onward: was V7__orders.sql`, the name that the other tool has recorded".to_owned(),
            )),
            "was" if self.was.is_some() => Err(twice()),
            "was" => {
                self.was = Some(argument.to_owned());
                Ok(())
            }
            _ => Err((format!("unknown directive `{name}`"), format!("use one of these: {KNOWN}"))),
        }
    }
}

/// The words after `-- onward:`, if the comment is a directive.
pub(crate) fn words<'a>(token: &Token, source: &'a str) -> Option<&'a str> {
    let comment = (token.kind == TokenKind::LineComment).then(|| token.text(source))?;
    let text = comment.trim_start_matches('-').trim_start();
    let (name, words) = text.split_at_checked("onward".len())?;
    let words = words.trim_start().strip_prefix(':').filter(|_| name.eq_ignore_ascii_case("onward"))?;
    Some(words.trim())
}

/// Whether the tokens hold no statement, only comments and semicolons.
pub(crate) fn only_comments(tokens: &[Token]) -> bool {
    tokens.iter().all(|token| token.is_comment() || token.kind == TokenKind::Symbol(';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(source: &str) -> (Directives, Vec<String>) {
        let (directives, findings) = parse("x", source, &lex(source, Dialect::Postgres));
        (directives, findings.into_iter().map(|finding| finding.message).collect())
    }

    #[test]
    fn the_header_is_every_comment_before_the_first_statement() {
        let source = "-- Copyright\n\n/* why */\n--onward:  no-transaction\n-- Onward: contract\n\
                      -- onward: title Orders get a currency\n-- onward: syntax-unchecked newer than the parser\n\
                      -- onward: was V7__orders.sql\nSELECT 1;";
        let expected = Directives {
            no_transaction: true,
            contract: true,
            title: Some("Orders get a currency".to_owned()),
            syntax_unchecked: true,
            was: Some("V7__orders.sql".to_owned()),
            after: Vec::new(),
        };
        assert_eq!(parsed(source), (expected, vec![]));
    }

    #[test]
    fn a_directive_without_effect_is_a_finding() {
        let cases = [
            ("SELECT 1; -- onward: contract", "a directive after the first statement has no effect"),
            ("-- onward: no-transactions", "unknown directive `no-transactions`"),
            ("-- onward:", "unknown directive ``"),
            ("-- onward: contract\n-- onward: contract", "directive `contract` is given twice"),
            ("-- onward: title", "directive `title` has no text"),
            ("-- onward: syntax-unchecked", "directive `syntax-unchecked` has no reason"),
            ("-- onward: was", "directive `was` has no name of a script"),
            ("-- onward: contract because", "directive `contract` takes no argument"),
        ];
        for (source, expected) in cases {
            assert_eq!(parsed(source).1, [expected], "{source}");
        }
        assert_eq!(parsed("SELECT '-- onward: contract'; -- onwards: we go").1, [""; 0]);
    }
}
