use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
#[cfg(unix)]
use crate::users::unusable;

/// The account that runs the server when this process runs as root.
#[cfg(unix)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

/// On Windows the server itself drops the rights of an administrator.
#[cfg(not(unix))]
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {}

#[cfg(unix)]
impl Account {
    pub(super) fn run(self, command: &mut Command) {
        use std::os::unix::process::CommandExt as _;
        command.uid(self.uid).gid(self.gid);
    }

    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

#[cfg(not(unix))]
impl Account {
    pub(super) fn run(self, _: &mut Command) {
        match self {}
    }

    pub(super) fn own(self, _: &Path) -> io::Result<()> {
        match self {}
    }
}

/// The account that must run the server: `None`, unless this process runs as root.
#[cfg(unix)]
pub(super) fn account() -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = |name: &str| {
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
            [user, _, uid, gid, ..] if user == name => {
                Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            }
            _ => None,
        })
    };
    named("postgres").or_else(|| named("nobody")).map(Some).ok_or_else(|| {
        let help = "create the user `postgres`, or start the app as an ordinary user";
        Error::new("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`", help)
    })
}

#[cfg(not(unix))]
pub(super) fn account() -> Result<Option<Account>, Error> {
    Ok(None)
}

/// The folder itself, or a folder elsewhere if the server's user cannot enter it, for example below `/root`.
#[cfg(unix)]
pub(super) fn reachable(home: PathBuf) -> Result<PathBuf, Error> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::os::unix::fs::PermissionsExt as _;
    let enterable = |folder: &Path| {
        std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    if home.ancestors().all(enterable) {
        return Ok(home);
    }
    let mut hasher = DefaultHasher::new();
    home.hash(&mut hasher);
    let outside = PathBuf::from(format!("/var/lib/onward/{:016x}", hasher.finish()));
    std::fs::create_dir_all(&outside).map_err(|error| unusable(&outside, &error))?;
    Ok(outside)
}

#[cfg(not(unix))]
pub(super) fn reachable(home: PathBuf) -> Result<PathBuf, Error> {
    Ok(home)
}
