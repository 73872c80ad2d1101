use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use onward_worker::sqs::{attribute_value, seconds, text_attribute};
use onward_worker::{Attribute, MESSAGE_ID, TRACEPARENT};

/// One message of a `SendMessageBatch`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry<'a> {
    pub body: &'a str,
    /// Its identity, the attribute `onward.id`.
    pub id: Option<&'a str>,
    pub group: Option<&'a str>,
    pub deduplication_id: Option<&'a str>,
    pub delay: Option<Duration>,
    pub traceparent: Option<&'a str>,
    pub attributes: &'a [(String, Attribute)],
}

impl Entry<'_> {
    /// The entry at this index of a batch.
    pub(crate) fn at(self, index: usize) -> SendMessageBatchRequestEntry {
        let mut entry = SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(self.body)
            .set_message_group_id(self.group.map(str::to_owned))
            .set_message_deduplication_id(self.deduplication_id.map(str::to_owned))
            .set_delay_seconds(self.delay.map(seconds));
        for (name, attribute) in self.attributes {
            entry = entry.message_attributes(name, attribute_value(attribute));
        }
        for (name, value) in [(MESSAGE_ID, self.id), (TRACEPARENT, self.traceparent)] {
            if let Some(value) = value {
                entry = entry.message_attributes(name, text_attribute(value));
            }
        }
        entry.build().expect("id and body are set")
    }
}

/// Messages that may be sent in one call each. In a FIFO queue they are of different groups: a batch does its entries one by one,
/// so that the second one of a group may be taken where the first one was refused.
pub(crate) fn rounds<T>(
    is_fifo: bool,
    messages: Vec<T>,
    group: impl Fn(&T) -> Option<String>,
) -> Vec<Vec<T>> {
    if !is_fifo {
        return vec![messages];
    }
    let mut rounds: Vec<Vec<T>> = Vec::new();
    let mut next: HashMap<Option<String>, usize> = HashMap::new();
    for message in messages {
        let round = next.entry(group(&message)).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(message);
        *round += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_a_fifo_queue_has_one_message_of_each_group() {
        let messages = vec!["a1", "a2", "b1", "a3", "c1", "b2"];
        let group = |message: &&str| Some(message[..1].to_owned());
        assert_eq!(
            rounds(true, messages.clone(), group),
            [vec!["a1", "b1", "c1"], vec!["a2", "b2"], vec!["a3"]]
        );
        assert_eq!(rounds(false, messages.clone(), group), [messages]);
    }
}
