//! The private queue and the stub of a development launch.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use onward_local::{Echo, LocalQueue, QUEUE_PORT};

use crate::config::settings::Settings;
use crate::process::exit::{CommandError, Exit};

/// The servers that a development launch starts besides the database. Dropping the value stops them.
pub(crate) struct Local {
    /// One URL for each name, in the same order.
    pub queue_urls: Vec<String>,
    pub echo: Echo,
    address: PathBuf,
    _queue: LocalQueue,
    _launch: Launch,
}

/// The right to be the launch of this folder, which others would disturb: they share its queue's address and its destination
/// `echo`. It ends with the process, however that ends.
pub(crate) struct Launch(#[expect(dead_code, reason = "the file holds the lock")] File);

impl Launch {
    /// Whether a process has the right.
    pub(crate) fn runs(settings: &Settings) -> bool {
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        File::open(Self::path(settings)).is_ok_and(held)
    }

    fn path(settings: &Settings) -> PathBuf {
        settings.project.join(".onward").join("launch.lock")
    }

    /// Takes the right, if no other process has it.
    pub(crate) fn claim(settings: &Settings) -> Result<Self, CommandError> {
        let path = Self::path(settings);
        let unwritable = |error| unwritable(&path, &error);
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(unwritable)?;
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Without a number the message says less.
                let _ = file.read_to_string(&mut process);
                let message = format!("a launch runs in this folder already, process {}", process.trim());
                let help = "end it first; a second worker of its queue takes the URL in .onward/queue-url as QUEUE_URL";
                return Err(CommandError::new(Exit::Failed, message, help));
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unwritable)?;
        Ok(Self(file))
    }
}

impl Local {
    pub(crate) async fn start(settings: &Settings, queues: &[&str]) -> Result<Self, CommandError> {
        let launch = Launch::claim(settings)?;
        let server = LocalQueue::start_in(QUEUE_PORT, &settings.project.join(".onward")).await?;
        let mut queue_urls = Vec::new();
        for queue in queues {
            queue_urls.push(server.create(queue).await?);
        }
        let echo = Echo::start().await?;
        let address = address_file(&settings.project);
        let folder = address.parent().unwrap_or(&address);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&address, queue_urls.join("\n")))
            .map_err(|error| unwritable(&address, &error))?;
        Ok(Self { queue_urls, echo, address, _queue: server, _launch: launch })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A newer launch may have written its own address since then.
        if fs::read_to_string(&self.address).is_ok_and(|urls| urls == self.queue_urls.join("\n"))
            && let Err(error) = fs::remove_file(&self.address)
        {
            tracing::debug!(%error, "the address of the local queue was not removed");
        }
    }
}

/// The queues of the launch that runs in another terminal.
pub(crate) fn running_queues(project: &Path) -> Result<Vec<String>, CommandError> {
    let read = fs::read_to_string(address_file(project));
    read.map(|urls| urls.lines().map(str::to_owned).collect()).map_err(|_| {
        let message = "QUEUE_URL is not set, and no development launch is running here";
        CommandError::new(
            Exit::Configuration,
            message,
            "start one with `cargo run` in another terminal, or set QUEUE_URL",
        )
    })
}

fn address_file(project: &Path) -> PathBuf {
    project.join(".onward").join("queue-url")
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    let message = format!("{} cannot be written: {error}", path.display());
    CommandError::new(Exit::Configuration, message, "correct the owner and permissions of the folder")
}
