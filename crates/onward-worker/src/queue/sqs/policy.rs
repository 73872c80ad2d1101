//! The redrive policy of a queue as its worker knows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use tokio::time::Instant;

use super::admin::{RedrivePolicy, queue_url, redrive_policy};
use crate::error::{QueueError, QueueErrorKind};

/// How long a policy counts before it is asked for again: it may be changed or repaired.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How often a first answer that is no policy and no refusal keeps the worker from receiving. A server may not know the
/// attribute at all.
const MOST_FAILURES: u32 = 3;

/// A policy that is asked for when it is needed, and kept for as long as no newer one can be read: it seldom changes, and the queue says
/// where it has.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownPolicy(Arc<Mutex<Known>>);

#[derive(Debug, Clone, Default)]
struct Known {
    /// None before the first answer; then the policy, if the queue has one.
    policy: Option<Option<RedrivePolicy>>,
    /// The URL of the policy's dead-letter queue, once it was needed.
    url: Option<Arc<str>>,
    /// When the policy was read.
    read: Option<Instant>,
    /// When it could not be read before a receive, and how often the server had failed by then.
    unread: Option<Instant>,
    failures: u32,
}

impl KnownPolicy {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how many receives the queue makes a message a dead letter, as far as it is known: never without a policy.
    pub(super) fn receive_limit(&self) -> Option<u32> {
        match &self.known().policy {
            None => None,
            Some(None) => Some(u32::MAX),
            Some(Some(policy)) => Some(policy.max_receive_count).filter(|count| *count > 0),
        }
    }

    /// Reads the policy before a receive, as long as nothing is known of it: what becomes of a message that comes again depends on it.
    /// Where it cannot be read (the role may not), the worker asks again after a minute and does without it meanwhile.
    ///
    /// # Errors
    ///
    /// What may pass by itself, and is an outage of the receive, too.
    pub(super) async fn learn(&self, client: &Client, queue: &str) -> Result<(), QueueError> {
        let is_recent = |then: Option<Instant>| then.is_some_and(|then| then.elapsed() < MAX_AGE);
        {
            let known = self.known();
            if known.policy.is_some() || is_recent(known.unread) {
                return Ok(());
            }
        }
        let Err(error) = self.get(client, queue).await else { return Ok(()) };
        let mut known = self.known();
        known.failures += u32::from(error.kind == QueueErrorKind::Service);
        match error.kind {
            QueueErrorKind::Network | QueueErrorKind::Throttled => return Err(error),
            QueueErrorKind::Service if known.failures < MOST_FAILURES => return Err(error),
            _ => tracing::debug!(%error, "the redrive policy cannot be read"),
        }
        known.unread = Some(Instant::now());
        Ok(())
    }

    /// The policy, if the queue has one. It is read once a minute at the most.
    pub(super) async fn get(
        &self,
        client: &Client,
        queue: &str,
    ) -> Result<Option<RedrivePolicy>, QueueError> {
        let Known { policy: old, read, .. } = self.known().clone();
        if let (Some(policy), Some(read)) = (&old, read)
            && read.elapsed() < MAX_AGE
        {
            return Ok(policy.clone());
        }
        let policy = match redrive_policy(client, queue).await {
            Ok(policy) => policy,
            Err(error) => return old.ok_or(error),
        };
        let mut known = self.known();
        if known.policy.as_ref() != Some(&policy) {
            known.url = None;
        }
        (known.policy, known.read) = (Some(policy.clone()), Some(Instant::now()));
        Ok(policy)
    }

    /// The URL of the dead-letter queue, if the queue has a policy.
    pub(super) async fn dead_letters(
        &self,
        client: &Client,
        queue: &str,
    ) -> Result<Option<Arc<str>>, QueueError> {
        let Some(policy) = self.get(client, queue).await? else { return Ok(None) };
        if let Some(url) = &self.known().url {
            return Ok(Some(url.clone()));
        }
        let url: Arc<str> = queue_url(client, policy.name(), Some(policy.account())).await?.into();
        let mut known = self.known();
        if known.policy == Some(Some(policy)) {
            known.url = Some(url.clone());
        }
        Ok(Some(url))
    }

    /// The policy is read again before it is used again: it may name another dead-letter queue by now.
    pub(super) fn doubt(&self) {
        self.known().read = None;
    }
}

#[cfg(all(test, feature = "env"))]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::queue::sqs::env::client_of_private;

    /// A server that answers each request for attributes, or fails.
    fn server(attributes: &'static str) -> (String, Arc<AtomicBool>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/000000000000/orders", listener.local_addr().expect("is bound"));
        let fails = Arc::new(AtomicBool::new(false));
        let is_ill = fails.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("somebody connects");
                let _request = stream.read(&mut [0; 8192]).expect("is readable");
                let body = format!(r#"{{"Attributes": {{{attributes}}}}}"#);
                let status = if is_ill.load(Ordering::Relaxed) { "500 Ill" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(head.as_bytes()).expect("is writable");
            }
        });
        (url, fails)
    }

    #[tokio::test]
    async fn a_policy_that_was_read_is_not_forgotten() {
        let policy =
            r#""RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:r:0:dead\",\"maxReceiveCount\":7}""#;
        let (url, fails) = server(policy);
        let client = client_of_private(&url).expect("is the URL of a queue");
        let known = KnownPolicy::default();
        fails.store(true, Ordering::Relaxed);
        known.learn(&client, &url).await.expect_err("nothing is received before it is known");
        assert_eq!(known.receive_limit(), None);
        fails.store(false, Ordering::Relaxed);
        known.learn(&client, &url).await.expect("is read");
        assert_eq!(known.receive_limit(), Some(7));
        // A letter could not be sent, and neither can the policy be read.
        fails.store(true, Ordering::Relaxed);
        known.doubt();
        assert_eq!(
            known.get(&client, &url).await.expect("is the old one").map(|it| it.max_receive_count),
            Some(7)
        );
        assert_eq!(known.receive_limit(), Some(7));
    }

    #[tokio::test]
    async fn without_a_policy_no_receive_is_the_last() {
        let (url, fails) = server("");
        let client = client_of_private(&url).expect("is the URL of a queue");
        let known = KnownPolicy::default();
        known.learn(&client, &url).await.expect("is read");
        assert_eq!(known.receive_limit(), Some(u32::MAX));

        // A server that never says it does not keep the worker from receiving for ever.
        fails.store(true, Ordering::Relaxed);
        let unknown = KnownPolicy::default();
        for _ in 1..MOST_FAILURES {
            unknown.learn(&client, &url).await.expect_err("may pass");
        }
        unknown.learn(&client, &url).await.expect("does without it");
        assert_eq!(unknown.receive_limit(), None);
    }
}
