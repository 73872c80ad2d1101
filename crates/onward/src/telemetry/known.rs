use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// What was seen last, and why it could not be seen again.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    pub seen: Option<(Instant, T)>,
    pub error: Option<String>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { seen: None, error: None }
    }
}

impl<T> Known<T> {
    pub(crate) fn learn(&mut self, outcome: Result<T, String>) {
        match outcome {
            Ok(seen) => *self = Self { seen: Some((Instant::now(), seen)), error: None },
            Err(error) => self.error = Some(error),
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.seen.as_ref().map(|(_, value)| value)
    }
}

/// What a server says when somebody looks, and never otherwise.
#[derive(Debug)]
pub(crate) struct OnDemand<T> {
    /// The server in words, for an error.
    server: &'static str,
    /// How often it is asked at the most, however many look.
    interval: Duration,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    asked: Option<Instant>,
    known: Known<T>,
}

/// How long a look waits for the server; then it shows what was known.
const MOST: Duration = Duration::from_secs(2);

impl<T: Clone> OnDemand<T> {
    pub(crate) fn new(server: &'static str, interval: Duration) -> Self {
        Self { server, interval, state: Mutex::new(State { asked: None, known: Known::default() }) }
    }

    /// What is known, not older than the interval where the server answers. `read` asks it; beside its answer it may say what of it could
    /// not be read. It is on the heap, because what asks a server is large, and the pages that hold it are moved several times: an
    /// unoptimised build would overflow its stack.
    pub(crate) async fn look(
        &self,
        read: Pin<Box<impl Future<Output = Result<(T, Option<String>), String>>>>,
    ) -> Known<T> {
        let mut state = self.state.lock().await;
        let State { asked, known } = &mut *state;
        if asked.is_none_or(|asked| asked.elapsed() >= self.interval) {
            let late = |_| Err(format!("{} did not answer in time", self.server));
            match tokio::time::timeout(MOST, read).await.unwrap_or_else(late) {
                Ok((value, missing)) => {
                    known.learn(Ok(value));
                    known.error = missing;
                }
                Err(error) => known.learn(Err(error)),
            }
            // Last, so that a look that is cut off counts as none.
            *asked = Some(Instant::now());
        }
        known.clone()
    }

    /// Has the next look ask again.
    #[cfg(feature = "console")]
    pub(crate) async fn forget(&self) {
        self.state.lock().await.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_asked_once_and_what_it_said_outlives_its_silence() {
        let number = OnDemand::new("the server", Duration::ZERO);
        let said = number.look(Box::pin(async { Ok((1, None)) })).await;
        assert_eq!((said.value(), said.error.as_deref()), (Some(&1), None));
        let silent = number.look(Box::pin(std::future::pending())).await;
        assert_eq!(
            (silent.value(), silent.error.as_deref()),
            (Some(&1), Some("the server did not answer in time"))
        );
        let partly = number.look(Box::pin(async { Ok((2, Some("a part of it".to_owned()))) })).await;
        assert_eq!((partly.value(), partly.error.as_deref()), (Some(&2), Some("a part of it")));

        let seldom = OnDemand::new("the server", Duration::from_secs(3600));
        for _ in 0..2 {
            let first = seldom.look(Box::pin(async { Ok((1, None)) })).await;
            let second = seldom.look(Box::pin(async { Ok((2, None)) })).await;
            assert_eq!(first.value(), second.value(), "it is not asked again");
        }
    }
}
