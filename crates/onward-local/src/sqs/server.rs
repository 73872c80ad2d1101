use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::batch;
use super::error::SqsError;
use super::message::{Content, MAX_BYTES, ms, random_id};
use super::move_tasks::MoveTasks;
use super::queue::{Policy, Queue, Stored, sequence};
use super::request::{name_of, names, seconds};

/// The account that all queues belong to.
const ACCOUNT: &str = "000000000000";

/// All queues of the server, and the operations on them.
#[derive(Debug)]
pub(super) struct Server {
    endpoint: String,
    next: AtomicU64,
    queues: Mutex<BTreeMap<String, Queue>>,
    pub moves: MoveTasks,
    /// Counts changes, for whoever stores them.
    pub changes: AtomicU64,
}

pub(super) type Answer = Result<Value, SqsError>;

/// The numeric attributes of a queue: name, least, most, default.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>
const NUMBERS: [(&str, u64, u64, u64); 5] = [
    ("DelaySeconds", 0, 900, 0),
    ("MaximumMessageSize", 1_024, MAX_BYTES as u64, MAX_BYTES as u64),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("VisibilityTimeout", 0, 43_200, 30),
];

/// The other attributes that may be set.
const TEXTS: [&str; 10] = [
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "Policy",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
];

impl Server {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            next: AtomicU64::new(1),
            queues: Mutex::default(),
            moves: MoveTasks::default(),
            changes: AtomicU64::new(0),
        }
    }

    pub(super) fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that is larger than all before.
    pub(super) fn next_key(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.endpoint)
    }

    pub(super) fn arn(name: &str) -> String {
        format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}")
    }

    pub(super) fn with_queue<T>(
        &self,
        request: &Value,
        work: impl FnOnce(&mut Queue) -> Result<T, SqsError>,
    ) -> Result<T, SqsError> {
        self.with_named(&name_of(request)?, work)
    }

    fn with_named<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Queue) -> Result<T, SqsError>,
    ) -> Result<T, SqsError> {
        work(self.queues().get_mut(name).ok_or_else(no_queue)?)
    }

    pub(super) fn create_queue(&self, request: &Value) -> Answer {
        let name = request["QueueName"].as_str().unwrap_or_default();
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if stem.is_empty() || name.len() > 80 || !stem.chars().all(is_plain) {
            let message =
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(SqsError::invalid(message));
        }
        let attributes = read_attributes(request)?;
        let is_fifo = attributes.get("FifoQueue").is_some_and(|value| value == "true");
        if is_fifo != name.ends_with(".fifo") {
            let message = "The name of a FIFO queue ends in .fifo, and only its attribute FifoQueue is true.";
            return Err(SqsError::invalid(message));
        }
        let mut queues = self.queues();
        if let Some(existing) = queues.get(name) {
            let differs = |(key, value): (&String, &String)| existing.attributes.get(key) != Some(value);
            if attributes.iter().any(differs) {
                let message =
                    "A queue already exists with the same name and a different value for an attribute";
                return Err(SqsError::new("QueueNameExists", message));
            }
        } else {
            self.check_policy(&queues, &attributes, is_fifo)?;
            queues.insert(name.to_owned(), Queue::new(name, attributes));
        }
        Ok(json!({"QueueUrl": self.url(name)}))
    }

    /// The dead-letter queue that a redrive policy names must exist and be of the same kind.
    fn check_policy(
        &self,
        queues: &BTreeMap<String, Queue>,
        attributes: &BTreeMap<String, String>,
        is_fifo: bool,
    ) -> Result<(), SqsError> {
        let Some(text) = attributes.get("RedrivePolicy").filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let wrong = |reason: &str| {
            SqsError::invalid(format!(
                "Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}"
            ))
        };
        let policy = Policy::read(text).ok_or_else(|| wrong("Redrive policy is not a valid JSON map."))?;
        if !(1..=1000).contains(&policy.max_receive_count) {
            return Err(wrong("Invalid value for maxReceiveCount, valid values are from 1 to 1000."));
        }
        match queues.get(&policy.name) {
            None => Err(wrong("Dead letter target does not exist.")),
            Some(target) if target.is_fifo() != is_fifo => {
                Err(wrong("Dead-letter queue must be same type of queue as the source."))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn delete_queue(&self, request: &Value) -> Answer {
        let removed = self.queues().remove(&name_of(request)?);
        removed.map(|_| json!({})).ok_or_else(no_queue)
    }

    pub(super) fn get_queue_url(&self, request: &Value) -> Answer {
        let name = request["QueueName"].as_str().unwrap_or_default();
        let owner = request["QueueOwnerAWSAccountId"].as_str().unwrap_or(ACCOUNT);
        if owner != ACCOUNT || !self.queues().contains_key(name) {
            return Err(no_queue());
        }
        Ok(json!({"QueueUrl": self.url(name)}))
    }

    pub(super) fn list_queues(&self, request: &Value) -> Value {
        let prefix = request["QueueNamePrefix"].as_str().unwrap_or_default();
        let queues = self.queues();
        let urls: Vec<_> =
            queues.keys().filter(|name| name.starts_with(prefix)).map(|name| self.url(name)).collect();
        json!({"QueueUrls": urls})
    }

    pub(super) fn get_queue_attributes(&self, request: &Value) -> Answer {
        let wanted = names(request, &["AttributeNames"]);
        let has = |name: &str| wanted.iter().any(|wanted| wanted == "All" || wanted == name);
        self.with_queue(request, |queue| {
            let (visible, in_flight, delayed) = queue.counts();
            let seconds = (ms(queue.created) / 1000).to_string();
            let mut all: BTreeMap<String, String> = NUMBERS
                .iter()
                .map(|(name, _, _, default)| ((*name).to_owned(), default.to_string()))
                .collect();
            all.extend(queue.attributes.clone());
            let own = [
                ("QueueArn", Self::arn(&queue.name)),
                ("ApproximateNumberOfMessages", visible.to_string()),
                ("ApproximateNumberOfMessagesNotVisible", in_flight.to_string()),
                ("ApproximateNumberOfMessagesDelayed", delayed.to_string()),
                ("CreatedTimestamp", seconds.clone()),
                ("LastModifiedTimestamp", seconds),
            ];
            all.extend(own.map(|(name, value)| (name.to_owned(), value)));
            all.retain(|name, _| has(name));
            Ok(json!({"Attributes": all}))
        })
    }

    pub(super) fn set_queue_attributes(&self, request: &Value) -> Answer {
        let attributes = read_attributes(request)?;
        let name = name_of(request)?;
        let mut queues = self.queues();
        let is_fifo = queues.get(&name).ok_or_else(no_queue)?.is_fifo();
        self.check_policy(&queues, &attributes, is_fifo)?;
        let queue = queues.get_mut(&name).ok_or_else(no_queue)?;
        for (key, value) in attributes {
            // An empty policy takes it away.
            if value.is_empty() {
                queue.attributes.remove(&key);
            } else {
                queue.attributes.insert(key, value);
            }
        }
        Ok(json!({}))
    }

    pub(super) fn tag_queue(&self, request: &Value) -> Answer {
        let tags = request["Tags"].as_object().cloned().unwrap_or_default();
        self.with_queue(request, |queue| {
            queue.tags.extend(tags);
            Ok(json!({}))
        })
    }

    pub(super) fn untag_queue(&self, request: &Value) -> Answer {
        let keys = names(request, &["TagKeys"]);
        self.with_queue(request, |queue| {
            queue.tags.retain(|key, _| !keys.contains(key));
            Ok(json!({}))
        })
    }

    pub(super) fn list_dead_letter_source_queues(&self, request: &Value) -> Answer {
        let name = name_of(request)?;
        let queues = self.queues();
        if !queues.contains_key(&name) {
            return Err(no_queue());
        }
        let is_source = |queue: &&Queue| Policy::of(queue).is_some_and(|policy| policy.name == name);
        let urls: Vec<_> = queues.values().filter(is_source).map(|queue| self.url(&queue.name)).collect();
        Ok(json!({"queueUrls": urls}))
    }

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

    pub(super) fn purge_queue(&self, request: &Value) -> Answer {
        self.with_queue(request, |queue| {
            let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|age| age < Duration::from_secs(60));
            if queue.purged.is_some_and(is_recent) {
                let message =
                    format!("Only one PurgeQueue operation on {} is allowed every 60 seconds.", queue.name);
                return Err(SqsError::new("PurgeQueueInProgress", message));
            }
            queue.purge();
            Ok(json!({}))
        })
    }
}

pub(super) fn no_queue() -> SqsError {
    SqsError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

/// The attributes of a request, each within its range.
fn read_attributes(request: &Value) -> Result<BTreeMap<String, String>, SqsError> {
    let mut attributes = BTreeMap::new();
    for (name, value) in request["Attributes"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let number = NUMBERS.iter().find(|(known, ..)| known == name);
        let is_right = match number {
            Some((_, least, most, _)) => value.parse::<u64>().is_ok_and(|it| (*least..=*most).contains(&it)),
            None => TEXTS.contains(&name.as_str()),
        };
        if !is_right {
            let what = if number.is_some() { "Invalid value for the parameter" } else { "Unknown Attribute" };
            return Err(SqsError::new(
                if number.is_some() { "InvalidAttributeValue" } else { "InvalidAttributeName" },
                format!("{what} {name}."),
            ));
        }
        attributes.insert(name.clone(), normal(name, value));
    }
    Ok(attributes)
}

/// SQS shows a policy's count as a number, however it was written.
fn normal(name: &str, value: &str) -> String {
    let policy = (name == "RedrivePolicy").then(|| serde_json::from_str::<Value>(value).ok()).flatten();
    match (policy, Policy::read(value)) {
        (Some(mut policy), Some(read)) => {
            policy["maxReceiveCount"] = read.max_receive_count.into();
            policy.to_string()
        }
        _ => value.to_owned(),
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
