use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The greatest age of a message within the current and the last minute.
#[derive(Debug, Default)]
pub(crate) struct Oldest(Mutex<Minutes>);

#[derive(Debug, Default)]
struct Minutes {
    minute: u64,
    current: Duration,
    last: Duration,
}

impl Minutes {
    /// Begins a new minute where one has passed.
    fn at(&mut self, now: Duration) -> &mut Self {
        let minute = now.as_secs() / 60;
        if minute > self.minute {
            self.last = if minute == self.minute + 1 { self.current } else { Duration::ZERO };
            (self.minute, self.current) = (minute, Duration::ZERO);
        }
        self
    }
}

impl Oldest {
    pub(crate) fn note(&self, now: Duration, age: Duration) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minutes = minutes.at(now);
        minutes.current = minutes.current.max(age);
    }

    pub(crate) fn read(&self, now: Duration) -> Duration {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minutes = minutes.at(now);
        minutes.current.max(minutes.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_in_its_minute_and_in_the_next_one() {
        let (oldest, second) = (Oldest::default(), Duration::from_secs);
        oldest.note(second(10), second(5));
        oldest.note(second(20), second(3));
        assert_eq!(oldest.read(second(59)), second(5));
        oldest.note(second(61), second(1));
        assert_eq!(oldest.read(second(119)), second(5));
        assert_eq!(oldest.read(second(120)), second(1));
        assert_eq!(oldest.read(second(600)), Duration::ZERO);
    }
}
