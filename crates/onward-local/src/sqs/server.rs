use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::error::SqsError;
use super::message::{MAX_BYTES, ms};
use super::move_tasks::MoveTasks;
use super::queue::{Policy, Queue};
use super::request::{name_of, names};

/// The account that all queues belong to.
const ACCOUNT: &str = "000000000000";

/// All queues of the server, and the operations on queues.
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

    pub(super) fn with_named<T>(
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
