//! A redrive: dead letters go back to their queue, and what dies again meanwhile stays dead.

use std::collections::{HashMap, HashSet};

use aws_sdk_sqs::types::builders::SendMessageBatchRequestEntryBuilder;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System, SendMessageBatchRequestEntry};
use onward_worker::sqs::{MAX_ATTRIBUTES, answered, batches, delete_entries, text_attribute, trace_header};
use onward_worker::{ATTEMPTS, MESSAGE_ID, QueueErrorKind, REJECTED, is_fifo};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::client::{QueueClient, sqs_error};
use super::held::{HIDDEN, Held};
use super::letter::{self, CopyKey};
use super::selection::Selection;
use crate::process::exit::{CommandError, Exit};
use crate::queue::entry::rounds;

/// What a redrive has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Redriven {
    pub sent: usize,
    /// How many of them are dead again.
    pub again: usize,
    /// How many stay, because they do not match or belong to another queue.
    pub left: usize,
}

/// Sends the letters of the dead-letter queue that match to their queue, and gives back the others. `report` is told after each batch. What was done is
/// known also after an error.
pub(crate) async fn redrive(
    queue: &QueueClient,
    dead: &str,
    selection: &Selection,
    max: usize,
    stop: &CancellationToken,
    report: &mut (dyn FnMut(Redriven) + Send),
) -> (Redriven, Result<(), CommandError>) {
    let mut redrive = Redrive {
        queue,
        dead,
        is_only: queue.is_only_source_of(dead).await,
        selection,
        sent: HashMap::new(),
        moved: HashSet::new(),
        again: 0,
        left: 0,
        held: Held::default(),
    };
    let outcome = redrive.all(max, stop, report).await;
    // What was taken and not sent is visible for the next command at once, also after an error.
    let so_far = redrive.so_far();
    let given_back = redrive.held.give_back(queue, dead).await;
    (so_far, outcome.and(given_back))
}

struct Redrive<'a> {
    queue: &'a QueueClient,
    dead: &'a str,
    /// Whether no other queue has the same dead-letter queue.
    is_only: bool,
    selection: &'a Selection,
    /// What was sent, each with the time of the queue at which its letter was received, if known.
    sent: HashMap<CopyKey, Option<u64>>,
    /// SQS's ids of letters that stay and were moved to the end of their group.
    moved: HashSet<String>,
    again: usize,
    left: usize,
    held: Held,
}

/// What becomes of a letter.
enum Verdict {
    Send,
    /// It was sent by this command, and is dead again.
    DiedAgain,
    /// A copy of one that was sent: it was dead at the same time.
    Copy,
    /// It does not match, or belongs to another queue.
    Leave,
    /// It has been looked at before.
    Seen,
}

impl Redrive<'_> {
    async fn all(
        &mut self,
        max: usize,
        stop: &CancellationToken,
        report: &mut (dyn FnMut(Redriven) + Send),
    ) -> Result<(), CommandError> {
        while self.sent.len() < max && !stop.is_cancelled() {
            self.held.keep(self.queue, self.dead).await?;
            let letters = self.queue.receive(self.dead, (max - self.sent.len()).min(10), HIDDEN).await?;
            if letters.is_empty() {
                return Ok(());
            }
            self.take(letters).await?;
            report(self.so_far());
        }
        Ok(())
    }

    fn so_far(&self) -> Redriven {
        Redriven { sent: self.sent.len(), again: self.again, left: self.left }
    }

    /// Sorts some letters, sends those that are to be sent, and deletes them.
    async fn take(&mut self, letters: Vec<Message>) -> Result<(), CommandError> {
        let (mut to_send, mut copies, mut passed_by) = (Vec::new(), Vec::new(), Vec::new());
        for letter in letters {
            // Until it is sent and deleted it counts as one that stays.
            self.held.add(letter.receipt_handle.clone());
            match self.verdict(&letter) {
                Verdict::Send => {
                    self.sent.insert(letter::copy_key(&letter), received_ms(&letter));
                    to_send.push(letter);
                }
                Verdict::Copy => copies.push(letter),
                Verdict::DiedAgain => self.again += 1,
                Verdict::Leave => passed_by.push(letter),
                Verdict::Seen => {}
            }
        }
        let sent = self.send(&to_send).await;
        if sent.is_err() {
            for letter in &to_send {
                if letter.receipt_handle().is_some_and(|receipt| self.held.holds(receipt)) {
                    self.sent.remove(&letter::copy_key(letter));
                }
            }
        }
        sent?;
        self.delete(&copies.iter().collect::<Vec<_>>()).await?;
        self.left += passed_by.len();
        if is_fifo(self.dead) {
            self.move_behind(&passed_by).await?;
        }
        Ok(())
    }

    fn verdict(&self, letter: &Message) -> Verdict {
        if letter.message_id().is_some_and(|id| self.moved.contains(id)) {
            return Verdict::Seen;
        }
        // Another queue's letter may have the same identity.
        if !letter::belongs_to(letter, self.queue.name(), self.is_only) {
            return Verdict::Leave;
        }
        if let Some(received) = self.sent.get(&letter::copy_key(letter)) {
            return match (received, letter::ms(letter, &System::SentTimestamp)) {
                // Both times are the queue's own, so no clock of this machine can make a letter a copy.
                (Some(received), Some(sent)) if sent < *received => Verdict::Copy,
                _ => Verdict::DiedAgain,
            };
        }
        match self.selection.matches(letter) {
            true => Verdict::Send,
            false => Verdict::Leave,
        }
    }

    /// Sends letters to their queue, each before it is deleted, so that none is lost. Behind one that is refused nothing is sent, so
    /// that none overtakes it in its group.
    async fn send(&mut self, letters: &[Message]) -> Result<(), CommandError> {
        let group = |letter: &&Message| letter::system(letter, &System::MessageGroupId);
        for round in rounds(is_fifo(&self.queue.url), letters.iter().collect(), group) {
            for batch in batches(&round, |letter| letter::bytes(letter)) {
                self.send_batch(batch).await?;
            }
        }
        Ok(())
    }

    async fn send_batch(&mut self, batch: &[&Message]) -> Result<(), CommandError> {
        let refused = |letter: Option<&&Message>, reason: &str| {
            let which = letter.map_or("a letter", |letter| letter::identity(letter));
            let help = "correct what the reason names, then run it again: what was not sent is a dead letter as before";
            CommandError::new(Exit::Queue, format!("the queue refused {which}: {reason}"), help)
        };
        let entries = batch.iter().enumerate().map(|(index, letter)| entry(index, letter, &self.queue.url));
        let send = self.queue.client.send_message_batch().queue_url(&self.queue.url);
        let sent = answered(send.set_entries(Some(entries.collect())).send()).await;
        let sent = sent.map_err(|error| match batch {
            [letter] if error.kind == QueueErrorKind::Service => refused(Some(letter), &error.message),
            _ => error.into(),
        })?;
        let at = |id: &str| batch.get(id.parse::<usize>().ok()?);
        let taken: Vec<_> = sent.successful().iter().filter_map(|entry| at(entry.id()).copied()).collect();
        self.delete(&taken).await?;
        match sent.failed().first() {
            None => Ok(()),
            Some(failed) => {
                let reason = format!("{}: {}", failed.code(), failed.message().unwrap_or_default());
                Err(refused(at(failed.id()), &reason))
            }
        }
    }

    async fn delete(&mut self, letters: &[&Message]) -> Result<(), CommandError> {
        for batch in letters.chunks(10) {
            let receipts: Vec<_> = batch.iter().filter_map(|letter| letter.receipt_handle()).collect();
            let delete = self.queue.client.delete_message_batch().queue_url(self.dead);
            let delete = delete.set_entries(Some(delete_entries(receipts.iter().copied())));
            let deleted = delete.send().await.map_err(|error| sqs_error(&error))?;
            receipts.iter().for_each(|receipt| self.held.remove(receipt));
            if let Some(failed) = deleted.failed().first() {
                let at = |id: &str| batch.get(id.parse::<usize>().ok()?);
                let left = deleted.failed().iter().filter_map(|failed| at(failed.id()));
                let left: Vec<_> = left.map(|letter| letter::identity(letter)).collect();
                let message = format!(
                    "what was sent could not be deleted from the dead letters ({}): {}",
                    failed.code(),
                    left.join(", ")
                );
                return Err(CommandError::new(Exit::Queue, message, "delete it there, or it is sent twice"));
            }
        }
        Ok(())
    }

    /// A FIFO queue shows nothing of a group behind letters that are in flight. So those that stay go to the end of their
    /// group, where they keep their order among each other, and what was behind them can be received.
    async fn move_behind(&mut self, letters: &[Message]) -> Result<(), CommandError> {
        for letter in letters {
            // Where it says nowhere else of which queue it is, a copy would lose it.
            let Some(origin) = origin(letter) else { continue };
            let group = letter::system(letter, &System::MessageGroupId);
            let id = letter.message_id().unwrap_or_default();
            let mut entry = copy(0, letter).set_message_group_id(group);
            if let Some(origin) = origin {
                entry = entry.message_attributes(REJECTED, text_attribute(&origin));
            }
            let entry =
                entry.message_deduplication_id(format!("behind-{id}")).build().expect("id and body are set");
            let send = self.queue.client.send_message_batch().queue_url(self.dead).entries(entry);
            let sent = send.send().await.map_err(|error| sqs_error(&error))?;
            if let Some(failed) = sent.failed().first() {
                let message = format!("a letter that does not match could not be kept: {}", failed.code());
                return Err(CommandError::new(Exit::Queue, message, "it is where it was; run it again"));
            }
            self.delete(&[letter]).await?;
            // It comes once more, now behind the others, and is then one that was looked at.
            self.moved.extend(sent.successful.into_iter().map(|sent| sent.message_id));
        }
        Ok(())
    }
}

/// The queue's own time of this receive, where it is the letter's first.
fn received_ms(letter: &Message) -> Option<u64> {
    let is_first = letter::ms(letter, &System::ApproximateReceiveCount) == Some(1);
    letter::ms(letter, &System::ApproximateFirstReceiveTimestamp).filter(|_| is_first)
}

/// The message once more, with its identity and without what was written about its first life: the reason of its death, and
/// the attempts that a worker recorded before SQS itself moved it. It has its whole budget again.
fn entry(index: usize, letter: &Message, target: &str) -> SendMessageBatchRequestEntry {
    let id = letter.message_id().unwrap_or_default();
    let entry = copy(index, letter)
        .set_message_group_id(letter::system(letter, &System::MessageGroupId))
        .set_message_deduplication_id(is_fifo(target).then(|| format!("redrive-{id}")));
    let mut entry = entry.build().expect("id and body are set");
    let attributes = entry.message_attributes.get_or_insert_default();
    attributes.retain(|name, _| ![REJECTED, ATTEMPTS].contains(&name.as_str()));
    if attributes.is_empty() {
        entry.message_attributes = None;
    }
    entry
}

/// What a copy of a letter that stays must say of the queue that it died in: nothing, where the letter says it itself. None if there is no room
/// for it, or nobody knows it.
fn origin(letter: &Message) -> Option<Option<String>> {
    if letter::rejected(letter).is_some_and(|rejected| rejected["queue"].is_string()) {
        return Some(None);
    }
    let origin = json!({
        "queue": letter::source(letter)?,
        "last_ms": letter::ms(letter, &System::SentTimestamp),
    });
    let origin = origin.to_string();
    // The identity needs room, too.
    let attributes = letter.message_attributes().map_or(0, |all| all.len()) + 2;
    let bytes = letter::bytes(letter) + attribute_bytes(REJECTED, &origin) + identity_bytes(letter);
    (attributes <= MAX_ATTRIBUTES && bytes <= MAX_BYTES).then_some(Some(origin))
}

/// What SQS counts for an attribute of the type String.
fn attribute_bytes(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
}

fn identity_bytes(letter: &Message) -> usize {
    attribute_bytes(MESSAGE_ID, letter::identity(letter))
}

/// The most bytes of a message.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
const MAX_BYTES: usize = 1024 * 1024;

/// All that the sender wrote, and the identity where there is room.
fn copy(index: usize, letter: &Message) -> SendMessageBatchRequestEntryBuilder {
    let mut attributes = letter.message_attributes.clone().unwrap_or_default();
    let others = attributes.keys().filter(|name| *name != REJECTED).count();
    if others < MAX_ATTRIBUTES && letter::bytes(letter) + identity_bytes(letter) <= MAX_BYTES {
        let identity = text_attribute(letter::identity(letter));
        attributes.entry(MESSAGE_ID.to_owned()).or_insert(identity);
    }
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(letter.body().unwrap_or_default())
        .set_message_attributes(Some(attributes));
    if let Some(header) = letter::system(letter, &System::AwsTraceHeader) {
        let (name, value) = trace_header(&header);
        entry = entry.message_system_attributes(name, value);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_begins_anew_with_its_identity_and_what_its_sender_wrote() {
        let letter = [("tenant", "acme"), (REJECTED, "{}"), (ATTEMPTS, "9/1700000000000")]
            .into_iter()
            .fold(Message::builder().message_id("id-1").body("order"), |letter, (name, value)| {
                letter.message_attributes(name, text_attribute(value))
            })
            .build();
        let attributes =
            entry(0, &letter, "https://sqs.local/1/orders").message_attributes.unwrap_or_default();
        let mut left: Vec<_> =
            attributes.iter().map(|(name, value)| (name.as_str(), value.string_value())).collect();
        left.sort_unstable();
        assert_eq!(left, [(MESSAGE_ID, Some("id-1")), ("tenant", Some("acme"))]);
    }
}
