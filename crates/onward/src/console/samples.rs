use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use onward_worker::{Durations, Ledger, Monitor};

/// How many minutes the plots show.
pub(super) const MINUTES: usize = 60;

/// Over how many seconds the present rates are.
const PRESENT: usize = 10;

/// What the worker of a queue did within the last hour, sampled in the process each second.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<Series>);

/// What happened within some time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Span {
    pub received: u64,
    pub done: u64,
    pub failed: u64,
    pub durations: Durations,
}

/// What a plot needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Messages a second within the last seconds: received, done, failed.
    pub present: [f64; 3],
    /// Whole minutes, the oldest first.
    pub minutes: Vec<Span>,
    /// The whole hour.
    pub hour: Span,
}

#[derive(Debug, Default)]
struct Series {
    /// The totals at the last seconds, the oldest first.
    seconds: VecDeque<Span>,
    minutes: VecDeque<Span>,
    /// The totals when the current minute began.
    minute_began: Span,
    ticks: usize,
}

/// The totals of a worker so far.
fn totals(monitor: &Monitor) -> Span {
    let Ledger { received, done, retried, rejected, given_up, .. } = monitor.ledger();
    Span { received, done, failed: retried + rejected + given_up, durations: monitor.handler_durations() }
}

impl Span {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            received: self.received - earlier.received,
            done: self.done - earlier.done,
            failed: self.failed - earlier.failed,
            durations: self.durations.since(&earlier.durations),
        }
    }
}

impl Series {
    /// Takes the totals of this second.
    fn tick(&mut self, now: Span) {
        self.seconds.push_back(now);
        if self.seconds.len() > PRESENT + 1 {
            self.seconds.pop_front();
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(60) {
            self.minutes.push_back(now.since(&self.minute_began));
            self.minute_began = now;
            if self.minutes.len() > MINUTES {
                self.minutes.pop_front();
            }
        }
    }

    fn shown(&self) -> Shown {
        let Some((first, last)) = self.seconds.front().zip(self.seconds.back()) else {
            return Shown::default();
        };
        let (seconds, present) = (self.seconds.len() - 1, last.since(first));
        let rate = |count: u64| if seconds == 0 { 0.0 } else { count as f64 / seconds as f64 };
        let mut hour = last.since(&self.minute_began);
        for minute in &self.minutes {
            hour.received += minute.received;
            hour.done += minute.done;
            hour.failed += minute.failed;
            hour.durations.sum_us += minute.durations.sum_us;
            for (count, more) in hour.durations.counts.iter_mut().zip(minute.durations.counts) {
                *count += more;
            }
        }
        Shown {
            present: [present.received, present.done, present.failed].map(rate),
            minutes: self.minutes.iter().copied().collect(),
            hour,
        }
    }
}

impl Samples {
    fn series(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sample of this second.
    pub(super) fn take(&self, monitor: &Monitor) {
        self.series().tick(totals(monitor));
    }

    pub(super) fn shown(&self) -> Shown {
        self.series().shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_seconds_and_minutes_are_whole() {
        let mut series = Series::default();
        let total = |second: u64| Span { received: 10 * second, done: 8 * second, ..Span::default() };
        for second in 0..=125 {
            series.tick(total(second));
        }
        let shown = series.shown();
        assert_eq!(shown.present, [10.0, 8.0, 0.0]);
        let received: Vec<_> = shown.minutes.iter().map(|minute| minute.received).collect();
        assert_eq!(received, [590, 600], "the first minute begins with the first sample");
        assert_eq!(shown.hour.received, 1_250, "also what is in no whole minute yet");
        for second in 126..60 * 70 {
            series.tick(total(second));
        }
        assert_eq!(series.shown().minutes.len(), MINUTES);
    }
}
