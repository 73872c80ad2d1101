//! The output of the command line: data on stdout, everything else on stderr.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::process::exit::{CommandError, Exit};

/// Writes a line of data. A reader that has closed the pipe (`app status | head -1`) is not an error.
pub(crate) fn data(line: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::new(
            Exit::Failed,
            format!("cannot write to stdout: {error}"),
            "check the file or program that reads it",
        )),
        _ => Ok(()),
    }
}

/// A text in one line, without what a terminal would obey: control characters, and those that turn the direction of a text, as Rust writes
/// them, `\u{1b}`. Anybody may have written the text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // <https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings>
    let is_obeyed =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match is_obeyed(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Writes a line for a person. It ignores errors, because nobody can read a closed stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Asks a person, who must answer `y` or `yes` to agree. `None` if nobody can be asked, because this is no terminal.
pub(crate) fn ask(question: &str) -> Result<Option<bool>, CommandError> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let (mut stderr, mut line) = (io::stderr(), String::new());
    let asked = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    asked.and_then(|()| io::stdin().read_line(&mut line)).map_err(CommandError::fault)?;
    Ok(Some(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str())))
}

/// Prints help, the version, or what is wrong with the command line. Only the last is an error.
pub(crate) fn said(error: &clap::Error) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    let _ = error.print();
    exit
}

/// The exit code of a command line. An error is printed first.
pub(crate) fn ended(outcome: Result<Exit, CommandError>) -> ExitCode {
    let exit = outcome.unwrap_or_else(|error| {
        note(&format!("error: {error}"));
        error.exit
    });
    ExitCode::from(exit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_somebody_else_is_one_line_and_moves_no_cursor() {
        assert_eq!(printable("\u{1b}[2J a\r\nb\u{9b}"), "\\u{1b}[2J a\\r\\nb\\u{9b}");
        assert!(matches!(printable("für 1 € "), Cow::Borrowed(_)));
    }
}
