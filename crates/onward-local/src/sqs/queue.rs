use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::error::SqsError;
use super::message::{Content, ms};

/// How long a deduplication id is remembered.
const DEDUPLICATION: Duration = Duration::from_secs(300);

/// How long after its receive a message may stay hidden at the most.
const MAX_IN_FLIGHT: Duration = Duration::from_secs(12 * 3600);

/// The most messages that may be in flight.
const MAX_MESSAGES_IN_FLIGHT: usize = 120_000;

/// One queue, with what it holds.
#[derive(Debug)]
pub(super) struct Queue {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub tags: Map<String, Value>,
    pub created: SystemTime,
    pub purged: Option<SystemTime>,
    pub messages: BTreeMap<u64, Stored>,
    /// Visible messages of a standard queue, in the order in which they became visible.
    ready: VecDeque<u64>,
    /// Hidden messages by the time at which they become visible.
    hidden: BTreeSet<(SystemTime, u64)>,
    /// The messages of each group of a FIFO queue, in order.
    groups: HashMap<String, VecDeque<u64>>,
    /// The groups in the order in which they are looked at.
    rotation: VecDeque<String>,
    deduplication: HashMap<String, (SystemTime, String, u64)>,
    in_flight: usize,
    pub changed: Arc<Notify>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub id: String,
    pub content: Content,
    pub sent: SystemTime,
    pub first_received: Option<SystemTime>,
    pub received: Option<SystemTime>,
    pub receive_count: u32,
    pub visible_from: SystemTime,
    pub is_in_flight: bool,
    /// The ARN of the queue that it died in.
    pub source_arn: Option<String>,
}

impl Queue {
    pub(super) fn new(name: &str, attributes: BTreeMap<String, String>) -> Self {
        Self {
            name: name.to_owned(),
            attributes,
            tags: Map::new(),
            created: SystemTime::now(),
            purged: None,
            messages: BTreeMap::new(),
            ready: VecDeque::new(),
            hidden: BTreeSet::new(),
            groups: HashMap::new(),
            rotation: VecDeque::new(),
            deduplication: HashMap::new(),
            in_flight: 0,
            changed: Arc::default(),
        }
    }

    pub(super) fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        self.attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Adds a message. `key` is larger than that of each message before.
    pub(super) fn add(&mut self, key: u64, message: Stored) {
        let now = SystemTime::now();
        if self.is_fifo() {
            let group = message.content.group.clone().unwrap_or_default();
            let of_group = self.groups.entry(group.clone()).or_default();
            if of_group.is_empty() {
                self.rotation.push_back(group);
            }
            of_group.push_back(key);
        }
        if message.visible_from > now {
            self.hidden.insert((message.visible_from, key));
            self.in_flight += usize::from(message.is_in_flight);
        } else if !self.is_fifo() {
            self.ready.push_back(key);
        }
        self.messages.insert(key, message);
        self.changed.notify_waiters();
    }

    /// The id and key of a message with the same deduplication id within the last five minutes.
    pub(super) fn duplicate_of(&mut self, deduplication: &str) -> Option<(String, u64)> {
        let now = SystemTime::now();
        self.deduplication.retain(|_, (at, ..)| now.duration_since(*at).is_ok_and(|age| age < DEDUPLICATION));
        self.deduplication.get(deduplication).map(|(_, id, key)| (id.clone(), *key))
    }

    pub(super) fn remember(&mut self, deduplication: String, id: String, key: u64) {
        self.deduplication.insert(deduplication, (SystemTime::now(), id, key));
    }

    /// When the next hidden message becomes visible.
    pub(super) fn next_visible(&self) -> Option<SystemTime> {
        self.hidden.first().map(|(at, _)| *at)
    }

    /// Ends the visibility timeouts and the retention of messages that are due.
    fn tick(&mut self) {
        let now = SystemTime::now();
        while let Some((at, key)) = self.hidden.first().copied()
            && at <= now
        {
            self.hidden.remove(&(at, key));
            if let Some(message) = self.messages.get_mut(&key) {
                self.in_flight -= usize::from(message.is_in_flight);
                message.is_in_flight = false;
                if !self.name.ends_with(".fifo") {
                    self.ready.push_back(key);
                }
            }
        }
        let retention = Duration::from_secs(self.number("MessageRetentionPeriod", 345_600));
        let is_expired = |message: &Stored| now.duration_since(message.sent).is_ok_and(|age| age > retention);
        let expired: Vec<_> = self
            .messages
            .iter()
            .take_while(|(_, message)| is_expired(message))
            .map(|(key, _)| *key)
            .collect();
        for key in expired {
            self.remove(key);
        }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Stored> {
        let message = self.messages.remove(&key)?;
        if self.hidden.remove(&(message.visible_from, key)) {
            self.in_flight -= usize::from(message.is_in_flight);
        } else if !self.is_fifo() {
            self.ready.retain(|ready| *ready != key);
        }
        if self.is_fifo() {
            let group = message.content.group.clone().unwrap_or_default();
            if let Some(of_group) = self.groups.get_mut(&group) {
                of_group.retain(|other| *other != key);
                if of_group.is_empty() {
                    self.groups.remove(&group);
                    self.rotation.retain(|other| *other != group);
                }
            }
            // What waited behind it may be received now.
            self.changed.notify_waiters();
        }
        Some(message)
    }

    /// Takes up to `most` visible messages. Those that have been received too often come back apart, to be moved.
    pub(super) fn receive(
        &mut self,
        most: usize,
        visibility: Duration,
        max_receive_count: Option<u32>,
    ) -> Result<(Vec<u64>, Vec<Stored>), SqsError> {
        self.tick();
        let (mut taken, mut dead) = (Vec::new(), Vec::new());
        let is_over =
            |message: &Stored| max_receive_count.is_some_and(|count| message.receive_count >= count);
        while taken.len() < most {
            let Some(key) = self.next_ready(&taken) else { break };
            if self.messages.get(&key).is_some_and(is_over) {
                dead.extend(self.remove(key));
                continue;
            }
            if self.in_flight >= MAX_MESSAGES_IN_FLIGHT {
                if taken.is_empty() && !self.is_fifo() {
                    return Err(SqsError::new("OverLimit", "Too many messages in flight."));
                }
                break;
            }
            self.hide(key, visibility);
            taken.push(key);
        }
        Ok((taken, dead))
    }

    /// The next message that may be received. A group of a FIFO queue is closed while a message of it is in flight, but one
    /// receive may bring several of it.
    fn next_ready(&mut self, taken: &[u64]) -> Option<u64> {
        if !self.is_fifo() {
            return self.ready.pop_front();
        }
        let now = SystemTime::now();
        let place = self.rotation.iter().position(|group| {
            let mut keys = self.groups[group].iter().skip_while(|key| taken.contains(key));
            // All that is in flight came with one receive, so it is among the first ten.
            let is_closed = self.groups[group].iter().take(10 + taken.len()).any(|key| {
                !taken.contains(key) && self.messages.get(key).is_some_and(|message| message.is_in_flight)
            });
            !is_closed && keys.next().is_some_and(|key| self.messages[key].visible_from <= now)
        })?;
        let group = self.rotation[place].clone();
        self.groups[&group].iter().find(|key| !taken.contains(key)).copied()
    }

    fn hide(&mut self, key: u64, visibility: Duration) {
        let now = SystemTime::now();
        let Some(message) = self.messages.get_mut(&key) else { return };
        message.receive_count += 1;
        message.first_received.get_or_insert(now);
        message.received = Some(now);
        message.visible_from = now + visibility;
        if visibility.is_zero() {
            if !self.name.ends_with(".fifo") {
                self.ready.push_back(key);
            }
        } else {
            message.is_in_flight = true;
            self.in_flight += 1;
            self.hidden.insert((message.visible_from, key));
        }
    }

    /// Deletes by a receipt handle. A handle that is not the latest one of its message deletes nothing, and SQS says nothing.
    pub(super) fn delete(&mut self, handle: &str) -> Result<(), SqsError> {
        let (key, receive) = self.parse(handle)?;
        self.tick();
        let Some(message) = self.messages.get(&key) else { return Ok(()) };
        let is_latest = message.receive_count == receive;
        if self.is_fifo() && !(is_latest && message.is_in_flight) {
            return Err(expired(handle));
        }
        if is_latest {
            self.remove(key);
        }
        Ok(())
    }

    pub(super) fn change_visibility(&mut self, handle: &str, visibility: Duration) -> Result<(), SqsError> {
        let (key, receive) = self.parse(handle)?;
        self.tick();
        let now = SystemTime::now();
        let not_in_flight =
            || SqsError::new("MessageNotInflight", "The message referred to isn't in flight.");
        let is_fifo = self.is_fifo();
        let Some(message) = self.messages.get_mut(&key) else {
            return Err(SqsError::invalid(format!(
                "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available \
                 for visibility timeout change."
            )));
        };
        if message.receive_count != receive || !message.is_in_flight {
            return Err(if is_fifo { expired(handle) } else { not_in_flight() });
        }
        let since = now.duration_since(message.received.unwrap_or(now)).unwrap_or_default();
        if since + visibility > MAX_IN_FLIGHT {
            return Err(SqsError::invalid(format!(
                "Value {} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is \
                 beyond the limit [43200 seconds].",
                visibility.as_secs()
            )));
        }
        self.hidden.remove(&(message.visible_from, key));
        message.visible_from = now + visibility;
        if visibility.is_zero() {
            message.is_in_flight = false;
            self.in_flight -= 1;
            if !self.name.ends_with(".fifo") {
                self.ready.push_back(key);
            }
        } else {
            self.hidden.insert((message.visible_from, key));
        }
        self.changed.notify_waiters();
        Ok(())
    }

    pub(super) fn handle(&self, key: u64) -> String {
        format!("{}/{key}/{}", self.name, self.messages[&key].receive_count)
    }

    fn parse(&self, handle: &str) -> Result<(u64, u32), SqsError> {
        let parts = handle.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
        let parsed = parts.and_then(|(key, receive)| Some((key.parse().ok()?, receive.parse().ok()?)));
        parsed.ok_or_else(|| {
            let message = "The input receipt handle is invalid.";
            SqsError::new("ReceiptHandleIsInvalid", message)
        })
    }

    pub(super) fn purge(&mut self) {
        self.messages.clear();
        self.ready.clear();
        self.hidden.clear();
        self.groups.clear();
        self.rotation.clear();
        self.in_flight = 0;
        self.purged = Some(SystemTime::now());
    }

    /// The counts that SQS calls approximate: visible, in flight, delayed.
    pub(super) fn counts(&mut self) -> (usize, usize, usize) {
        self.tick();
        let delayed = self.hidden.len() - self.in_flight;
        (self.messages.len() - self.hidden.len(), self.in_flight, delayed)
    }

    /// A received message, as the answer has it.
    pub(super) fn show(&self, key: u64, system: &dyn Fn(&str) -> bool, own: &dyn Fn(&str) -> bool) -> Value {
        let Stored { id, content, sent, first_received, receive_count, source_arn, .. } =
            &self.messages[&key];
        let mut attributes = Map::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|_| system(name)) {
                attributes.insert(name.to_owned(), Value::String(value));
            }
        };
        add("ApproximateReceiveCount", Some(receive_count.to_string()));
        add("SentTimestamp", Some(ms(*sent).to_string()));
        add("ApproximateFirstReceiveTimestamp", first_received.map(|first| ms(first).to_string()));
        add("SenderId", Some("local".to_owned()));
        add("MessageGroupId", content.group.clone());
        add("MessageDeduplicationId", content.deduplication.clone().filter(|_| self.is_fifo()));
        add("SequenceNumber", self.is_fifo().then(|| sequence(key)));
        add("AWSTraceHeader", content.trace_header.clone());
        add("DeadLetterQueueSourceArn", source_arn.clone());
        let chosen: Map<_, _> = content
            .attributes
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut shown = json!({
            "MessageId": id,
            "ReceiptHandle": self.handle(key),
            "MD5OfBody": content.body_md5(),
            "Body": content.body,
        });
        if !attributes.is_empty() {
            shown["Attributes"] = attributes.into();
        }
        if !chosen.is_empty() {
            let whole = Content { attributes: chosen.clone(), ..content.clone() };
            shown["MD5OfMessageAttributes"] = whole.attributes_md5().into();
            shown["MessageAttributes"] = chosen.into();
        }
        shown
    }
}

fn expired(handle: &str) -> SqsError {
    SqsError::invalid(format!(
        "Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    ))
}

pub(super) fn sequence(key: u64) -> String {
    format!("{key:020}")
}

/// A redrive policy.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub name: String,
    pub max_receive_count: u32,
}

impl Policy {
    pub(super) fn of(queue: &Queue) -> Option<Self> {
        Self::read(queue.attributes.get("RedrivePolicy")?)
    }

    /// Its count may be a text, as some tools write it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let policy: Value = serde_json::from_str(text).ok()?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
        let name = policy["deadLetterTargetArn"].as_str()?.rsplit(':').next()?;
        Some(Self { name: name.to_owned(), max_receive_count: u32::try_from(count).ok()? })
    }
}
