use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines are kept.
const MOST: usize = 500;

/// The longest line that is kept whole, in bytes.
const LONGEST: usize = 4_096;

/// The last lines of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogLines(Arc<Mutex<VecDeque<String>>>);

impl LogLines {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines, the oldest first.
    pub(crate) fn read(&self) -> Vec<String> {
        self.lines().iter().cloned().collect()
    }
}

/// One event is one write.
impl io::Write for LogLines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut line = String::from_utf8_lossy(event).trim_end().to_owned();
        if line.len() > LONGEST {
            line.truncate(line.floor_char_boundary(LONGEST));
            line.push('…');
        }
        let mut lines = self.lines();
        lines.push_back(line);
        if lines.len() > MOST {
            lines.pop_front();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_are_cut() {
        let mut lines = LogLines::default();
        for number in 0..MOST + 10 {
            lines.make_writer().write_all(format!("{number}\n").as_bytes()).expect("is kept");
        }
        lines.write_all("é".repeat(LONGEST).as_bytes()).expect("is kept");
        let lines = lines.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (MOST, "11"));
        assert!(lines[MOST - 1].len() <= LONGEST + '…'.len_utf8());
    }
}
