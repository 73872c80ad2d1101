//! The private queue and the stub of a development launch.

use std::fs;
use std::path::PathBuf;

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
}

impl Local {
    pub(crate) async fn start(settings: &Settings, queues: &[&str]) -> Result<Self, CommandError> {
        let server = LocalQueue::start_in(QUEUE_PORT, &settings.project.join(".onward")).await?;
        let mut queue_urls = Vec::new();
        for queue in queues {
            queue_urls.push(server.create(queue).await?);
        }
        let echo = Echo::start().await?;
        let address = address_file(settings);
        let folder = address.parent().unwrap_or(&address);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&address, queue_urls.join("\n")))
            .map_err(|error| unwritable(&address, &error))?;
        Ok(Self { queue_urls, echo, address, _queue: server })
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
pub(crate) fn running_queues(settings: &Settings) -> Result<Vec<String>, CommandError> {
    let read = fs::read_to_string(address_file(settings));
    read.map(|urls| urls.lines().map(str::to_owned).collect()).map_err(|_| {
        let message = "QUEUE_URL is not set, and no development launch is running here";
        CommandError::new(
            Exit::Configuration,
            message,
            "start one with `cargo run` in another terminal, or set QUEUE_URL",
        )
    })
}

fn address_file(settings: &Settings) -> PathBuf {
    settings.project.join(".onward").join("queue-url")
}

fn unwritable(path: &std::path::Path, error: &std::io::Error) -> CommandError {
    let message = format!("{} cannot be written: {error}", path.display());
    CommandError::new(Exit::Configuration, message, "correct the owner and permissions of the folder")
}
