//! What the command line writes: data on stdout, everything else on stderr.

use std::io::{self, Write as _};

use crate::exit::{Exit, Failed};

/// Writes a line of data. A reader that has gone away (`app status | head -1`) is no error.
pub(crate) fn data(line: &str) -> Result<(), Failed> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::new(Exit::Failed, format!("cannot write to stdout: {error}"), "see where it leads"))
        }
        _ => Ok(()),
    }
}

/// Writes a line for a person. Where stderr is closed there is nobody to tell.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
