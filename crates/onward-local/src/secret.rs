use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::Error;
use crate::users::unusable;

/// 128 bits from the system's random source, in hexadecimal: loopback ports are open to every user of the machine.
pub(crate) fn random_password() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only this user may read.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| io::Write::write_all(&mut file, content.as_bytes()));
    written.map_err(|error| unusable(path, &error))
}
