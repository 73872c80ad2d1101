use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_worker::QueueError;
use onward_worker::sqs::{RedrivePolicy, attributes, queue_url};
use tokio::sync::Mutex;

use super::client::QueueClient;
use super::counts::Counts;

/// How often SQS is asked at the most, however many look.
const INTERVAL: Duration = Duration::from_secs(30);

/// How long a look waits for SQS; then it shows what was known.
const MOST: Duration = Duration::from_secs(2);

/// How many messages a queue of the app and its dead-letter queue have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub counts: Counts,
    /// None where it could not be read; none inside without a dead-letter queue.
    pub dead: Option<Option<Counts>>,
    /// When SQS said so.
    pub at: Instant,
}

/// What is known of the backlog of one queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub backlog: Option<Backlog>,
    /// Why it could not be read again.
    pub error: Option<String>,
}

/// A queue whose messages are counted when somebody looks, and never otherwise.
#[derive(Debug)]
pub(crate) struct Counted {
    pub name: &'static str,
    pub queue: QueueClient,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Option<Instant>,
    known: Known,
    /// The policy that was read last, with the URL of the queue that it names.
    dead: Option<(RedrivePolicy, String)>,
}

impl Counted {
    pub(crate) fn new(name: &'static str, queue: QueueClient) -> Self {
        Self { name, queue, state: Mutex::default() }
    }

    /// The backlog, not older than [`INTERVAL`] where SQS answers.
    pub(crate) async fn look(&self) -> Known {
        let mut state = self.state.lock().await;
        if state.asked.is_none_or(|asked| asked.elapsed() >= INTERVAL) {
            let read = tokio::time::timeout(MOST, read(&self.queue, &mut state.dead)).await;
            match read.map_err(|_| "SQS did not answer in time".to_owned()) {
                Ok(Ok((backlog, error))) => state.known = Known { backlog: Some(backlog), error },
                Ok(Err(error)) => state.known.error = Some(error.to_string()),
                Err(late) => state.known.error = Some(late),
            }
            // Last, so that a look that is cut off counts as none.
            state.asked = Some(Instant::now());
        }
        state.known.clone()
    }

    /// Has the next look ask again: the messages were changed.
    #[cfg(feature = "console")]
    pub(crate) async fn forget(&self) {
        self.state.lock().await.asked = None;
    }
}

/// With the reason why the dead letters could not be counted: a role may be allowed the queue alone.
async fn read(
    queue: &QueueClient,
    dead: &mut Option<(RedrivePolicy, String)>,
) -> Result<(Backlog, Option<String>), QueueError> {
    let mut names = Counts::ATTRIBUTES.to_vec();
    names.push(Attribute::RedrivePolicy);
    let all = attributes(&queue.client, &queue.url, &names).await?;
    let policy = all.get(&Attribute::RedrivePolicy).and_then(|text| RedrivePolicy::parse(text));
    let letters = dead_letters(queue, policy, dead).await;
    let error = letters.as_ref().err().map(|error| format!("the dead letters: {error}"));
    let backlog = Backlog { counts: Counts::read(&all), dead: letters.ok(), at: Instant::now() };
    Ok((backlog, error))
}

async fn dead_letters(
    queue: &QueueClient,
    policy: Option<RedrivePolicy>,
    known: &mut Option<(RedrivePolicy, String)>,
) -> Result<Option<Counts>, QueueError> {
    let Some(policy) = policy else { return Ok(None) };
    let url = match known.take().filter(|(known, _)| *known == policy) {
        Some((_, url)) => url,
        None => queue_url(&queue.client, policy.name(), Some(policy.account())).await?,
    };
    let counts = Counts::of(&queue.client, &url).await;
    *known = Some((policy, url));
    counts.map(Some)
}
