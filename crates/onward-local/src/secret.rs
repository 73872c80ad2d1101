use std::fs::{self, File};
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

/// The password of a private server, which is made at its first start and kept in a file of its folder.
pub(crate) fn kept_password(home: &Path, prefix: &str) -> Result<String, Error> {
    let path = home.join("password");
    match fs::read_to_string(&path) {
        Ok(password) => Ok(password.trim().to_owned()),
        // A file that cannot be read holds the password of the data: a new one would open nothing.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(&path, &error)),
        Err(_) => {
            let random = random_password().map_err(|error| unusable(home, &error))?;
            let password = format!("{prefix}{random}");
            write_private(&path, &password)?;
            Ok(password)
        }
    }
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
