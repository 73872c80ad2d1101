//! What a process writes down while it runs, so that the next one knows which messages ran when it died.
//!
//! Each process has a file with a slot for each handler that runs. A process that dies leaves its slots, and nobody holds the
//! lock on its file any more. The next process makes suspects of them: those that ran beside others may have ended the
//! process, one that ran alone has.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How many processes a message may end for certain before the worker gives it up. A kill from outside may meet a good
/// message that runs alone, but hardly so often.
pub(crate) const MOST: usize = 3;

/// SQS keeps no message for longer, so nobody asks for an older record.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const LONGEST_RETENTION: Duration = Duration::from_secs(14 * 24 * 3600);

const RUNNING: &str = "running";
const SUSPECT: &str = "suspect";

/// A slot: `a` for alone or `b` for beside others, the message's key in hexadecimal, the end of the line.
const SLOT: usize = 18;
const EMPTY: &[u8; SLOT] = b"                 \n";

/// The folder, which the workers of one host may share, and this process's own file in it.
#[derive(Debug)]
pub(crate) struct Crashes {
    folder: PathBuf,
    slots: Arc<Slots>,
}

#[derive(Debug)]
struct Slots {
    path: PathBuf,
    /// Locked as long as the process lives.
    file: File,
    free: Mutex<Free>,
    has_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Free {
    slots: Vec<usize>,
    next: usize,
}

impl Crashes {
    /// Makes the folder and this process's file, makes suspects of what dead processes have left, and removes what is too old to
    /// matter.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let is = |extension: &str| path.extension().is_some_and(|it| it == extension);
            if is(RUNNING) {
                take_over(folder, &path)?;
            } else if is(SUSPECT) && age(&path) > LONGEST_RETENTION {
                remove(&path)?;
            }
        }
        let name = format!("{}-{:016x}.{RUNNING}", std::process::id(), fastrand::u64(..));
        let path = folder.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        file.try_lock()?;
        let slots = Slots { path, file, free: Mutex::default(), has_failed: AtomicBool::new(false) };
        Ok(Self { folder: folder.to_owned(), slots: Arc::new(slots) })
    }

    /// What is known against a message.
    pub(crate) fn suspect(&self, queue: &str, identity: &str) -> Option<Suspect> {
        let file = suspect_file(&self.folder, &key(queue, identity));
        match fs::read_to_string(&file) {
            Ok(text) => {
                let alone = text.lines().filter(|line| line.starts_with('a')).count();
                Some(Suspect { file, alone })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "what is known of a message cannot be read");
                None
            }
        }
    }

    /// A message runs until the value is dropped. The system keeps what was written when the process dies; only its own crash would
    /// lose it. Such a write takes a few microseconds, so it is done here and not in a task.
    pub(crate) fn running(&self, queue: &str, identity: &str, is_alone: bool) -> Running {
        let mut free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = free.slots.pop().unwrap_or_else(|| {
            free.next += 1;
            free.next - 1
        });
        drop(free);
        let kind = if is_alone { 'a' } else { 'b' };
        self.slots.write(slot, format!("{kind}{}\n", key(queue, identity)).as_bytes());
        Running { slots: self.slots.clone(), slot }
    }
}

impl Slots {
    fn write(&self, slot: usize, bytes: &[u8]) {
        if let Err(error) = write_at(&self.file, bytes, (slot * SLOT) as u64)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, file = %self.path.display(), "what runs cannot be written down");
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // The next process removes it, too.
        let _ = remove(&self.path);
    }
}

/// A message that runs.
#[derive(Debug)]
pub(crate) struct Running {
    slots: Arc<Slots>,
    slot: usize,
}

impl Running {
    /// Others may run beside it from now on.
    pub(crate) fn is_beside_others(&self) {
        self.slots.write(self.slot, b"b");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.slots.write(self.slot, EMPTY);
        self.slots.free.lock().unwrap_or_else(PoisonError::into_inner).slots.push(self.slot);
    }
}

/// A message that ran when a process died.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    file: PathBuf,
    /// How many processes died while nothing else ran.
    pub alone: usize,
}

impl Suspect {
    /// It is none any more: the process has survived it, or it is a dead letter.
    pub(crate) fn clear(&self) -> io::Result<()> {
        remove(&self.file)
    }
}

/// Makes suspects of what runs in the file of a process that is dead. Another process may do the same at the same time: only one
/// gets the lock.
fn take_over(folder: &Path, running: &Path) -> io::Result<()> {
    let file = match File::open(running) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.try_lock().is_err() || !running.exists() {
        return Ok(());
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    // By the handle that has the lock: on Windows no other one may read.
    for slot in io::read_to_string(&file)?.lines() {
        let (kind, key) = slot.split_at_checked(1).unwrap_or_default();
        if !["a", "b"].contains(&kind) || key.len() != 16 {
            continue;
        }
        let mut suspect = OpenOptions::new().append(true).create(true).open(suspect_file(folder, key))?;
        suspect.write_all(format!("{kind} {now}\n").as_bytes())?;
    }
    // Before the lock ends, so that nobody counts it twice.
    remove(running)
}

fn suspect_file(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.{SUSPECT}"))
}

/// An identity may hold any character, and a file's name may not.
fn key(queue: &str, identity: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (queue, identity).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn age(file: &Path) -> Duration {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default()
}

/// Removes a file that another worker may have removed already.
fn remove(file: &Path) -> io::Result<()> {
    fs::remove_file(file).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    // So few bytes are written at once or not at all.
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder as a dead process leaves it: nobody holds the lock on the copy of its file.
    fn as_left_by(folder: &Path) -> tempfile::TempDir {
        let left = tempfile::tempdir().expect("is made");
        for file in folder.read_dir().expect("is read") {
            let file = file.expect("is read");
            fs::copy(file.path(), left.path().join(file.file_name())).expect("is copied");
        }
        left
    }

    #[test]
    fn what_ran_when_a_process_died_is_a_suspect_until_it_is_cleared() {
        let folder = tempfile::tempdir().expect("is made");
        let crashes = Crashes::in_folder(folder.path()).expect("is made");
        let done = crashes.running("orders", "done", false);
        let _beside = crashes.running("orders", "a/b\n\u{1f600}", false);
        drop(done);
        // It takes the free slot.
        let _alone = crashes.running("orders", "alone", true);
        let long = crashes.running("orders", "long", true);
        long.is_beside_others();

        let left = as_left_by(folder.path());
        let next = Crashes::in_folder(left.path()).expect("is read");
        let known = |identity: &str| next.suspect("orders", identity).map(|suspect| suspect.alone);
        assert_eq!((known("a/b\n\u{1f600}"), known("alone"), known("done")), (Some(0), Some(1), None));
        assert_eq!(known("long"), Some(0), "others ran beside it at last");
        assert!(next.suspect("invoices", "alone").is_none(), "an identity belongs to a queue");

        let again = as_left_by(left.path());
        let third = Crashes::in_folder(again.path()).expect("is read");
        assert_eq!(third.suspect("orders", "alone").map(|suspect| suspect.alone), Some(1), "counted once");
        third.suspect("orders", "alone").expect("is there").clear().expect("is removed");
        assert!(third.suspect("orders", "alone").is_none());
    }

    #[test]
    fn what_runs_in_a_process_that_lives_is_no_suspect() {
        let folder = tempfile::tempdir().expect("is made");
        let one = Crashes::in_folder(folder.path()).expect("is made");
        let _runs = one.running("orders", "1", true);
        let other = Crashes::in_folder(folder.path()).expect("is made");
        assert!(other.suspect("orders", "1").is_none());
        drop(other);
        assert_eq!(folder.path().read_dir().expect("is read").count(), 1, "an orderly end leaves nothing");
    }

    #[test]
    fn an_old_record_is_removed_and_a_foreign_file_is_not() {
        let folder = tempfile::tempdir().expect("is made");
        let old = SystemTime::now() - 2 * LONGEST_RETENTION;
        for name in ["old.suspect", "new.suspect", "foreign"] {
            let file = File::create(folder.path().join(name)).expect("is made");
            if name != "new.suspect" {
                file.set_modified(old).expect("is set");
            }
        }
        let _crashes = Crashes::in_folder(folder.path()).expect("is read");
        let is_there = |name: &str| folder.path().join(name).exists();
        assert_eq!(["old.suspect", "new.suspect", "foreign"].map(is_there), [false, true, true]);
    }
}
