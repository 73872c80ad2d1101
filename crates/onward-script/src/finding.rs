use std::ops::Range;

use crate::rule::Rule;

/// One problem in a folder of scripts: what, where and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule that found it.
    pub rule: Rule,
    /// Whether it stops a build.
    pub severity: Severity,
    /// The file, as a path that a person can open.
    pub file: String,
    /// The bytes of the normalised text that it is about; `None` if it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do, in one sentence without a full stop.
    pub help: String,
}

impl Finding {
    /// The finding with the commands of another program than `app`, which the rules name.
    #[must_use]
    pub fn of_program(&self, program: &str) -> Self {
        let (message, help) = (of_program(&self.message, program), of_program(&self.help, program));
        Self { message, help, ..self.clone() }
    }

    /// A finding about a file as a whole.
    pub fn file(
        rule: Rule,
        file: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: Severity::Error,
            file: file.into(),
            span: None,
            message: message.into(),
            help: help.into(),
        }
    }

    /// Narrows it to a place in the file.
    #[must_use]
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets whether it stops a build.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Whether a finding stops a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is reported and the build goes on.
    Warning,
    /// It stops the build.
    Error,
}

/// A message with the commands of another program than `app`. The commands of `cargo onward` are those of `app script`.
///
/// ```
/// use onward_script::of_program;
///
/// assert_eq!(of_program("run `app script seal`", "shop"), "run `shop script seal`");
/// assert_eq!(of_program("run `app script seal`", "cargo onward"), "run `cargo onward seal`");
/// ```
#[must_use]
pub fn of_program(message: &str, program: &str) -> String {
    let message = match program {
        "cargo onward" => message.replace("`app script ", "`app "),
        _ => return message.replace("`app ", &format!("`{program} ")),
    };
    // The others are commands of the app only.
    let commands =
        ["adopt", "check", "import", "init", "new", "plan", "rules", "seal", "squash", "status", "unseal"];
    commands.iter().fold(message, |message, command| {
        message.replace(&format!("`app {command}"), &format!("`{program} {command}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_the_commands_of_the_program() {
        let help = "once final, run `app script seal` and commit `scripts.lock`";
        let finding = Finding::file(Rule::Draft, "sql/0001-x.sql", "the application is `app`", help);
        let named = finding.of_program("shop");
        assert_eq!(named.help, "once final, run `shop script seal` and commit `scripts.lock`");
        assert_eq!(named.message, finding.message);
        let help = "run `app status`, then `app migrate`";
        assert_eq!(of_program(help, "cargo onward"), "run `cargo onward status`, then `app migrate`");
    }
}
