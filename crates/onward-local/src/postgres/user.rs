//! The user of a private server, and the file from which `psql` reads the password.

use std::path::Path;

use crate::error::Error;
use crate::secret::write_private;

pub(super) const USER: &str = "app";

/// The name of the file in the server's folder.
pub(super) const PASSFILE: &str = "pgpass";

/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
pub(super) fn write_passfile(home: &Path, password: &str) -> Result<(), Error> {
    write_private(&home.join(PASSFILE), &format!("127.0.0.1:*:*:{USER}:{password}\n"))
}
