//! A record of the attempts that ran alone and whose end nobody has written: what ran alone when a process died has ended it.

use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How many processes a message may end for certain before the worker gives it up. A kill from outside may meet a good
/// message that runs alone, but hardly so often.
pub(crate) const MOST: usize = 5;

/// SQS keeps no message for longer, so nobody asks for an older record.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const LONGEST_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

/// The folder with a file for each message, and a line in it for each attempt. The workers of one host share it.
#[derive(Debug)]
pub(crate) struct Crashes(PathBuf);

impl Crashes {
    /// Makes the folder, and removes records that are too old to matter.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if entry.path().extension().is_some_and(|it| it == EXTENSION) && age > LONGEST_RETENTION {
                remove(&entry.path())?;
            }
        }
        Ok(Self(folder.to_owned()))
    }

    /// The record of a message.
    pub(crate) fn of(&self, queue: &str, identity: &str) -> Record {
        let mut hasher = DefaultHasher::new();
        (queue, identity).hash(&mut hasher);
        // An identity may hold any character, and a file's name may not.
        let file = self.0.join(format!("{:016x}.{EXTENSION}", hasher.finish()));
        Record { file, line: format!("process {}, queue {queue}, message {identity:?}", std::process::id()) }
    }
}

const EXTENSION: &str = "alone";

/// The attempts of one message.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    file: PathBuf,
    line: String,
}

impl Record {
    /// How many processes ended while the message ran alone.
    pub(crate) async fn crashes(self) -> io::Result<usize> {
        off_the_runtime(move || match fs::read_to_string(&self.file) {
            Ok(text) => Ok(text.lines().count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        })
        .await
    }

    /// An attempt begins. The system keeps what was written when the process dies; only its own crash would lose it.
    pub(crate) async fn begin(self) -> io::Result<()> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        off_the_runtime(move || {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.file)?;
            file.write_all(format!("{now} {}\n", self.line).as_bytes())
        })
        .await
    }

    /// The process has survived it.
    pub(crate) async fn clear(self) -> io::Result<()> {
        off_the_runtime(move || remove(&self.file)).await
    }
}

/// Removes a file that another worker may have removed already.
fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_without_an_end_are_counted_and_an_end_clears_them() {
        let folder = std::env::temp_dir().join(format!("onward-crashes-{}", std::process::id()));
        let crashes = Crashes::in_folder(&folder).expect("is made");
        let record = |identity: &str| crashes.of("orders.fifo", identity);
        for before in 0..3 {
            assert_eq!(record("a/b\n\u{1f600}").crashes().await.expect("is read"), before);
            record("a/b\n\u{1f600}").begin().await.expect("is written");
        }
        assert_eq!(record("other").crashes().await.expect("is read"), 0);
        assert_eq!(crashes.of("invoices.fifo", "a/b\n\u{1f600}").crashes().await.expect("is read"), 0);
        record("a/b\n\u{1f600}").clear().await.expect("is removed");
        record("a/b\n\u{1f600}").clear().await.expect("may be removed twice");
        assert_eq!(record("a/b\n\u{1f600}").crashes().await.expect("is read"), 0);
        fs::remove_dir_all(folder).expect("is removed");
    }

    #[test]
    fn an_old_record_is_removed_and_a_foreign_file_is_not() {
        let folder = std::env::temp_dir().join(format!("onward-crashes-old-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("is made");
        let old = SystemTime::now() - 2 * LONGEST_RETENTION;
        for name in ["old.alone", "new.alone", "foreign"] {
            let file = fs::File::create(folder.join(name)).expect("is made");
            if name != "new.alone" {
                file.set_modified(old).expect("is set");
            }
        }
        Crashes::in_folder(&folder).expect("is read");
        let is_there = |name: &str| folder.join(name).exists();
        assert_eq!(
            ["old.alone", "new.alone", "foreign"].map(is_there),
            [false, true, true],
            "in {}",
            folder.display()
        );
        fs::remove_dir_all(&folder).expect("is removed");
    }
}
