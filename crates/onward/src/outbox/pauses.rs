use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::outbox::table::Paused;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// The queues, and groups of queues, whose rows wait because sending has failed. Each failure in a row doubles the pause.
#[derive(Debug, Default)]
pub(crate) struct Pauses(HashMap<(String, Option<String>), Pause>);

#[derive(Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl Pauses {
    /// Begins a pause and returns its length.
    pub(crate) fn begin(&mut self, queue: &str, group: Option<&str>) -> Duration {
        let pause = self.0.entry((queue.to_owned(), group.map(str::to_owned)));
        let pause = pause.or_insert_with(|| Pause { length: Duration::ZERO, until: Instant::now() });
        pause.length = (pause.length * 2).clamp(FIRST, LONGEST);
        pause.until = Instant::now() + pause.length;
        pause.length
    }

    /// Forgets the failures of a queue or group.
    pub(crate) fn end(&mut self, queue: &str, group: Option<&str>) {
        self.0.remove(&(queue.to_owned(), group.map(str::to_owned)));
    }

    /// What waits now.
    pub(crate) fn now(&mut self) -> Vec<Paused> {
        let now = Instant::now();
        // A pause that ended long ago is not continued by the next failure.
        self.0.retain(|_, pause| pause.until + LONGEST > now);
        let waiting = self.0.iter().filter(|(_, pause)| pause.until > now);
        waiting.map(|((queue, group), _)| Paused { queue: queue.clone(), group: group.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_end() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.begin("a", None), FIRST);
        assert_eq!(pauses.begin("a", None), FIRST * 2);
        assert_eq!(pauses.begin("a", Some("g")), FIRST);
        assert_eq!(pauses.now().len(), 2);
        tokio::time::advance(FIRST * 2).await;
        assert!(pauses.now().is_empty());
        assert_eq!(pauses.begin("a", None), FIRST * 4);
        pauses.end("a", None);
        assert_eq!(pauses.begin("a", None), FIRST);
    }
}
