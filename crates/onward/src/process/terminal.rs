//! The output of the command line: data on stdout, everything else on stderr.

use std::io::{self, Write as _};

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

/// Writes a line for a person. It ignores errors, because nobody can read a closed stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
