use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::options::Options;

/// Stops the polls when every message fails and no more can wait here: each receive of a message that cannot be handled
/// brings it nearer to the dead-letter queue. After a pause the worker tries one message at a time. The first that succeeds
/// closes the breaker again, each that fails doubles the pause.
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

/// Whether a worker receives, as its breaker has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    /// As much as there is room for.
    All,
    /// One message, to see whether handlers succeed again.
    One,
    /// Nothing for this time, because every message failed and no more could wait here.
    Nothing(Duration),
}

/// How a handler has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub is_done: bool,
    /// Whether it is the message that the breaker waits for.
    pub is_probe: bool,
    /// Whether the message cannot wait here, for lack of room.
    pub is_full: bool,
}

/// What may be received.
#[derive(Debug)]
pub(crate) enum Admission {
    /// As much as there is room for.
    All,
    /// One message, to see whether it works again.
    Probe(Probe),
}

/// The message that the breaker waits for. A probe that ends without a success or a failure lets the next one go: it found no
/// message, or one that is done already.
#[derive(Debug)]
pub(crate) struct Probe(Arc<Breaker>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.probe_came_back();
    }
}

impl Breaker {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            after: options.breaker_after,
            first: options.breaker_pause,
            longest: options.breaker_longest.max(options.breaker_pause),
            state: Mutex::new(State::Closed { failures: 0 }),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may be received.
    pub(crate) async fn admit(self: &Arc<Self>) -> Admission {
        loop {
            let changed = self.changed.notified();
            let current = *self.state();
            match current {
                State::Closed { .. } => return Admission::All,
                State::Probing { is_out: false, pause } => {
                    *self.state() = State::Probing { pause, is_out: true };
                    return Admission::Probe(Probe(self.clone()));
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

    /// Whether the last handler that has ended has failed.
    pub(crate) fn is_sick(&self) -> bool {
        !matches!(*self.state(), State::Closed { failures: 0 })
    }

    /// What may be received at present.
    pub(crate) fn receiving(&self) -> Receiving {
        match *self.state() {
            State::Closed { .. } => Receiving::All,
            State::Probing { .. } => Receiving::One,
            State::Open { until, .. } => Receiving::Nothing(until.saturating_duration_since(Instant::now())),
        }
    }

    fn probe_came_back(&self) {
        let mut state = self.state();
        if let State::Probing { is_out, .. } = &mut *state {
            *is_out = false;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A handler has ended. Returns for how long the polls stop now, if they do; they stop only where no more messages can wait
    /// here.
    pub(crate) fn record(&self, ended: Ended) -> Option<Duration> {
        let Ended { is_done, is_probe, is_full } = ended;
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
            (State::Closed { failures }, false)
                if self.after == 0 || !is_full || failures + 1 < self.after =>
            {
                *state = State::Closed { failures: failures.saturating_add(1) };
                return None;
            }
            (State::Closed { .. }, false) => Some(self.first),
            // A message that was here when the polls stopped tells nothing new.
            (State::Open { .. }, false) => return None,
            (State::Probing { .. }, false) if !is_probe => return None,
            (State::Probing { pause, .. }, false) => Some((pause * 2).min(self.longest)),
        };
        let paused = paused.map(|pause| {
            let wait = pause.min(self.longest);
            *state = State::Open { until: Instant::now() + wait, pause };
            wait
        });
        drop(state);
        self.changed.notify_waiters();
        paused
    }
}
