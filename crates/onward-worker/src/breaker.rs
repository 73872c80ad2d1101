use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::options::Options;

/// Stops the polls when every message fails, because what handlers call is down: each receive of a message that cannot be
/// handled brings it nearer to the dead-letter queue. After a pause the worker tries one message at a time. The first that
/// succeeds closes the breaker again, each that fails doubles the pause.
#[derive(Debug)]
pub(crate) struct Breaker {
    after: u32,
    first: Duration,
    longest: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The worker receives; so many messages have failed since the last one that was done.
    Closed { failures: u32 },
    /// The worker receives nothing before that moment.
    Open { until: Instant, pause: Duration },
    /// The worker may receive one message, or has.
    Probing { pause: Duration, is_out: bool },
}

/// What may be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// As much as there is room for.
    All,
    /// One message, to see whether it works again.
    Probe,
}

impl Breaker {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            after: options.breaker_after,
            first: options.breaker_pause,
            longest: options.breaker_longest.max(options.breaker_pause),
            state: Mutex::new(State::Closed { failures: 0 }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may be received.
    pub(crate) async fn admit(&self) -> Admission {
        loop {
            let changed = self.changed.notified();
            let current = *self.state();
            match current {
                State::Closed { .. } => return Admission::All,
                State::Probing { is_out: false, pause } => {
                    *self.state() = State::Probing { pause, is_out: true };
                    return Admission::Probe;
                }
                State::Probing { .. } => changed.await,
                State::Open { until, pause } => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(until) => *self.state() = State::Probing { pause, is_out: false },
                    }
                }
            }
        }
    }

    /// A probe found no message, or the poll failed: the next one may try.
    pub(crate) fn probe_came_back(&self) {
        let mut state = self.state();
        if let State::Probing { is_out, .. } = &mut *state {
            *is_out = false;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A handler has ended; returns for how long the polls stop now, if they do.
    pub(crate) fn record(&self, is_done: bool, wished: Option<Duration>) -> Option<Duration> {
        let mut state = self.state();
        let paused = match (*state, is_done) {
            (State::Closed { .. }, true) => {
                *state = State::Closed { failures: 0 };
                return None;
            }
            (State::Open { .. } | State::Probing { .. }, true) => {
                tracing::info!("a handler succeeded again: the worker polls as before");
                *state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, false) if self.after == 0 || failures + 1 < self.after => {
                *state = State::Closed { failures: failures.saturating_add(1) };
                return None;
            }
            (State::Closed { .. }, false) => Some(self.first),
            // A message that was under way when the polls stopped tells nothing new.
            (State::Open { .. }, false) => return None,
            (State::Probing { pause, .. }, false) => Some((pause * 2).min(self.longest)),
        };
        let paused = paused.map(|pause| {
            let wait = pause.max(wished.unwrap_or_default()).min(self.longest);
            *state = State::Open { until: Instant::now() + wait, pause };
            wait
        });
        drop(state);
        self.changed.notify_waiters();
        paused
    }
}
