//! The operations on messages: send, receive, delete, hide.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::batch;
use super::error::SqsError;
use super::message::{Content, MAX_BYTES, random_id};
use super::queue::{Policy, Queue, Stored, sequence};
use super::request::{name_of, names, seconds};
use super::server::{Answer, Server, no_queue};

impl Server {
    pub(super) fn send_message(&self, request: &Value, name: &str) -> Answer {
        let content = Content::read(request)?;
        let delay = seconds(request, "DelaySeconds", 900)?;
        self.with_named(name, |queue| self.add(queue, content, delay))
    }

    /// Checks what depends on the queue, and adds the message.
    fn add(&self, queue: &mut Queue, mut content: Content, delay: Option<Duration>) -> Answer {
        let most = usize::try_from(queue.number("MaximumMessageSize", MAX_BYTES as u64)).unwrap_or(MAX_BYTES);
        if content.bytes() > most {
            let message = format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            );
            return Err(SqsError::invalid(message));
        }
        for (parameter, id) in
            [("MessageGroupId", &content.group), ("MessageDeduplicationId", &content.deduplication)]
        {
            let is_id =
                |id: &String| (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic());
            if id.as_ref().is_some_and(|id| !is_id(id)) {
                let message = format!(
                    "The parameter {parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length"
                );
                return Err(SqsError::invalid(message));
            }
        }
        let mut key = self.next_key();
        let mut id = random_id();
        if queue.is_fifo() {
            if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
                return Err(SqsError::invalid(format!(
                    "Value {} for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid \
                     for this queue type.",
                    delay.as_secs()
                )));
            }
            if content.group.is_none() {
                return Err(SqsError::missing("MessageGroupId"));
            }
            let is_content_based =
                queue.attributes.get("ContentBasedDeduplication").is_some_and(|it| it == "true");
            if content.deduplication.is_none() && is_content_based {
                content.deduplication = Some(content.body_md5());
            }
            let Some(deduplication) = content.deduplication.clone() else {
                let message = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                               provided explicitly";
                return Err(SqsError::invalid(message));
            };
            if let Some(first) = queue.duplicate_of(&deduplication) {
                (id, key) = first;
                return Ok(sent(&id, &content, Some(key)));
            }
            queue.remember(deduplication, id.clone(), key);
        } else if content.deduplication.is_some() {
            let message = "Value for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that \
                           is not valid for this queue type.";
            return Err(SqsError::invalid(message));
        }
        let answer = sent(&id, &content, queue.is_fifo().then_some(key));
        let now = SystemTime::now();
        let delay = delay.unwrap_or_else(|| Duration::from_secs(queue.number("DelaySeconds", 0)));
        queue.add(
            key,
            Stored {
                id,
                content,
                sent: now,
                first_received: None,
                received: None,
                receive_count: 0,
                visible_from: now + delay,
                is_in_flight: false,
                source_arn: None,
            },
        );
        Ok(answer)
    }

    pub(super) fn send_message_batch(&self, request: &Value) -> Answer {
        let name = name_of(request)?;
        if !self.queues().contains_key(&name) {
            return Err(no_queue());
        }
        let entries = batch::entries(request)?;
        let bytes: usize =
            entries.iter().filter_map(|entry| Content::read(entry).ok()).map(|it| it.bytes()).sum();
        if bytes > MAX_BYTES {
            let message = format!(
                "Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {bytes} bytes."
            );
            return Err(SqsError::new("BatchRequestTooLong", message));
        }
        batch::each(request, |entry, name| self.send_message(entry, name))
    }

    pub(super) async fn receive_message(&self, request: &Value) -> Answer {
        let name = name_of(request)?;
        let most = match request["MaxNumberOfMessages"].as_i64() {
            None => 1,
            Some(most @ 1..=10) => usize::try_from(most).unwrap_or(1),
            Some(most) => {
                return Err(SqsError::invalid(format!(
                    "Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
                )));
            }
        };
        let visibility = seconds(request, "VisibilityTimeout", 43_200)?;
        let asked = seconds(request, "WaitTimeSeconds", 20)?;
        let (wait, changed) = self.with_named(&name, |queue| {
            let wait = Duration::from_secs(queue.number("ReceiveMessageWaitTimeSeconds", 0));
            Ok((asked.unwrap_or(wait), queue.changed.clone()))
        })?;
        let deadline = SystemTime::now() + wait;
        loop {
            let notified = changed.notified();
            let (messages, next) = self.take(&name, most, visibility, request)?;
            let now = SystemTime::now();
            if !messages.is_empty() || now >= deadline {
                return Ok(if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) });
            }
            let until = next.map_or(deadline, |next| next.min(deadline));
            let rest = until.duration_since(now).unwrap_or_default();
            tokio::select! {
                () = notified => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Receives without waiting, and moves what has been received too often.
    fn take(
        &self,
        name: &str,
        most: usize,
        visibility: Option<Duration>,
        request: &Value,
    ) -> Result<(Vec<Value>, Option<SystemTime>), SqsError> {
        let system = names(request, &["MessageSystemAttributeNames", "AttributeNames"]);
        let has_system = |name: &str| system.iter().any(|wanted| wanted == "All" || wanted == name);
        let own = names(request, &["MessageAttributeNames"]);
        let has_own = |name: &str| {
            own.iter().any(|wanted| match wanted.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => wanted == "All" || wanted == name,
            })
        };
        let mut queues = self.queues();
        let queue = queues.get_mut(name).ok_or_else(no_queue)?;
        let default = Duration::from_secs(queue.number("VisibilityTimeout", 30));
        let policy = Policy::of(queue);
        let most_receives = policy.as_ref().map(|policy| policy.max_receive_count);
        let (taken, dead) = queue.receive(most, visibility.unwrap_or(default), most_receives)?;
        let messages = taken.iter().map(|key| queue.show(*key, &has_system, &has_own)).collect();
        let next = queue.next_visible();
        if let Some(target) = policy.and_then(|policy| queues.get_mut(&policy.name)) {
            for message in dead {
                let source_arn = Some(Self::arn(name));
                let now = SystemTime::now();
                target.add(
                    self.next_key(),
                    Stored { source_arn, visible_from: now, is_in_flight: false, ..message },
                );
            }
        }
        Ok((messages, next))
    }

    pub(super) fn delete_message(&self, request: &Value, name: &str) -> Answer {
        let handle = request["ReceiptHandle"].as_str().ok_or_else(|| SqsError::missing("ReceiptHandle"))?;
        self.with_named(name, |queue| queue.delete(handle).map(|()| json!({})))
    }

    pub(super) fn change_visibility(&self, request: &Value, name: &str) -> Answer {
        let handle = request["ReceiptHandle"].as_str().ok_or_else(|| SqsError::missing("ReceiptHandle"))?;
        let visibility = seconds(request, "VisibilityTimeout", 43_200)?;
        let visibility = visibility.ok_or_else(|| SqsError::missing("VisibilityTimeout"))?;
        self.with_named(name, |queue| queue.change_visibility(handle, visibility).map(|()| json!({})))
    }
}

fn sent(id: &str, content: &Content, key: Option<u64>) -> Value {
    let mut answer = json!({"MessageId": id, "MD5OfMessageBody": content.body_md5()});
    if let Some(digest) = content.attributes_md5() {
        answer["MD5OfMessageAttributes"] = digest.into();
    }
    if let Some(key) = key {
        answer["SequenceNumber"] = sequence(key).into();
    }
    answer
}
