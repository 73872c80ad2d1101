use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The processes that use a private server: the first one starts it, the last one stops it.
///
/// Every user holds a shared lock on a file of the server's folder. A user that gets an exclusive lock is the last one. So a
/// crash needs no repair.
#[derive(Debug)]
pub(crate) struct Users {
    home: PathBuf,
    file: File,
}

impl Users {
    /// Becomes a user. `start` runs while no other process joins or leaves.
    pub(crate) fn join<T>(home: &Path, start: impl FnOnce() -> Result<T, Error>) -> Result<(Self, T), Error> {
        let turn = lock_file(home, "start.lock")?;
        turn.lock().map_err(|error| unusable(home, &error))?;
        let file = lock_file(home, "users.lock")?;
        file.lock_shared().map_err(|error| unusable(home, &error))?;
        let started = start()?;
        Ok((Self { home: home.to_owned(), file }, started))
    }

    /// Is no user any more; `stop` runs if it was the last one.
    pub(crate) fn leave(&self, stop: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let turn = lock_file(&self.home, "start.lock")?;
        turn.lock().map_err(|error| unusable(&self.home, &error))?;
        self.file.unlock().map_err(|error| unusable(&self.home, &error))?;
        match self.file.try_lock() {
            Ok(()) => stop(),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(error)) => Err(unusable(&self.home, &error)),
        }
    }
}

fn lock_file(home: &Path, name: &str) -> Result<File, Error> {
    let path = home.join(name);
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| unusable(&path, &error))
}

pub(crate) fn unusable(path: &Path, error: &io::Error) -> Error {
    let message = format!("{} cannot be used: {error}", path.display());
    Error::new(message, "correct its owner and permissions, or delete it: the next start creates it again")
}

/// A folder that exists, by its full name.
pub(crate) fn folder(path: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(path).map_err(|error| unusable(path, &error))?;
    fs::canonicalize(path).map_err(|error| unusable(path, &error))
}
