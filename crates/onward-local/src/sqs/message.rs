use std::time::{Duration, SystemTime, UNIX_EPOCH};

use md5::{Digest as _, Md5};
use serde_json::{Map, Value};

use super::error::SqsError;

/// The most bytes of a message, and of a batch together.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub(super) const MAX_BYTES: usize = 1_048_576;

/// The most attributes of a message.
const MAX_ATTRIBUTES: usize = 10;

/// What a sender has written.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub body: String,
    /// As in the request: `{"name": {"DataType": …, "StringValue": …}}`.
    pub attributes: Map<String, Value>,
    pub trace_header: Option<String>,
    pub group: Option<String>,
    pub deduplication: Option<String>,
}

impl Content {
    /// Reads and checks what does not depend on the queue.
    pub(super) fn read(request: &Value) -> Result<Self, SqsError> {
        let text = |name: &str| request[name].as_str().map(str::to_owned);
        let body = text("MessageBody").filter(|body| !body.is_empty());
        let body = body.ok_or_else(|| SqsError::missing("MessageBody"))?;
        if let Some(wrong) = body.chars().find(|c| !is_allowed(*c)) {
            let message =
                format!("Invalid binary character '#x{:X}' was found in the message body", u32::from(wrong));
            return Err(SqsError::new("InvalidMessageContents", message));
        }
        let attributes = request["MessageAttributes"].as_object().cloned().unwrap_or_default();
        if attributes.len() > MAX_ATTRIBUTES {
            let message = format!(
                "Number of message attributes [{}] exceeds the allowed maximum [10].",
                attributes.len()
            );
            return Err(SqsError::invalid(message));
        }
        for (name, value) in &attributes {
            check_attribute(name, value)?;
        }
        let system = &request["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"];
        Ok(Self {
            body,
            attributes,
            trace_header: system.as_str().map(str::to_owned),
            group: text("MessageGroupId"),
            deduplication: text("MessageDeduplicationId"),
        })
    }

    /// The bytes that count towards the limit: body, and names, types and values of the attributes.
    pub(super) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| {
            let text = |key: &str| value[key].as_str().map_or(0, str::len);
            name.len() + text("DataType") + text("StringValue") + text("BinaryValue") / 4 * 3
        });
        self.body.len() + attributes.sum::<usize>()
    }

    pub(super) fn body_md5(&self) -> String {
        hex(Md5::digest(self.body.as_bytes()))
    }

    /// The digest of the attributes; none where one is binary, which no client here compares.
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation>
    pub(super) fn attributes_md5(&self) -> Option<String> {
        const TEXT: u8 = 1;
        let mut sorted: Vec<_> = self.attributes.iter().collect();
        sorted.sort_by_key(|(name, _)| name.as_str());
        let mut bytes = Vec::new();
        let mut add = |text: &str, kind: Option<u8>| {
            bytes.extend(kind);
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        };
        for (name, value) in &sorted {
            add(name, None);
            add(value["DataType"].as_str().unwrap_or_default(), None);
            add(value["StringValue"].as_str()?, Some(TEXT));
        }
        (!sorted.is_empty()).then(|| hex(Md5::digest(&bytes)))
    }
}

/// The characters that SQS takes.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn check_attribute(name: &str, value: &Value) -> Result<(), SqsError> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let lower = name.to_ascii_lowercase();
    if name.is_empty()
        || name.len() > 256
        || !name.chars().all(is_name)
        || name.starts_with('.')
        || name.ends_with('.')
        || name.contains("..")
        || lower.starts_with("aws.")
        || lower.starts_with("amazon.")
    {
        return Err(SqsError::invalid(format!("The message attribute name '{name}' is invalid.")));
    }
    let data_type = value["DataType"].as_str().unwrap_or_default();
    let kind = data_type.split('.').next().unwrap_or_default();
    let has_value = match kind {
        "String" | "Number" => value["StringValue"].as_str().is_some_and(|text| !text.is_empty()),
        "Binary" => value["BinaryValue"].as_str().is_some_and(|text| !text.is_empty()),
        _ => {
            let message = format!("The type of message (user) attribute '{name}' is invalid.");
            return Err(SqsError::invalid(message));
        }
    };
    if !has_value {
        let message =
            format!("The message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.");
        return Err(SqsError::invalid(message));
    }
    let text = value["StringValue"].as_str().unwrap_or_default();
    if !text.chars().all(is_allowed) {
        let message = format!("Invalid binary character was found in the message attribute '{name}'");
        return Err(SqsError::invalid(message));
    }
    if kind == "Number" && text.parse::<f64>().is_err() {
        let message = format!("Could not cast message (user) attribute '{name}' value to number.");
        return Err(SqsError::invalid(message));
    }
    Ok(())
}

pub(super) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn ms(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX)
}

/// An id in the form of a UUID of version 4.
pub(super) fn random_id() -> String {
    let mut bytes: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
