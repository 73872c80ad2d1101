use std::collections::HashSet;
use std::ops::RangeInclusive;

use onward_worker::sqs::batches;
use onward_worker::{QueueError, QueueErrorKind, is_fifo};

use super::client::QueueClient;
use crate::process::exit::{CommandError, Exit};
use crate::queue::entry::{Entry, rounds};

/// A body to send, and the line that it is in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub number: usize,
    pub body: String,
}

/// Sends a message for each line, all with what the entry says besides. `sent` is told the id of each that SQS has taken. Behind one
/// that is refused nothing is sent, so that none overtakes it in its group; an error says which lines were not sent.
pub(crate) async fn send(
    queue: &QueueClient,
    lines: &[Line],
    like: Entry<'_>,
    sent: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), CommandError> {
    let mut taken = HashSet::new();
    for round in rounds(is_fifo(&queue.url), lines.iter().collect(), |_| like.group.map(str::to_owned)) {
        for batch in batches(&round, |line| line.body.len()) {
            if let Err(error) = send_batch(queue, batch, like, &mut taken, sent).await {
                return Err(with_unsent(error, lines, &taken));
            }
        }
    }
    Ok(())
}

async fn send_batch(
    queue: &QueueClient,
    batch: &[&Line],
    like: Entry<'_>,
    taken: &mut HashSet<usize>,
    sent: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), CommandError> {
    let entries = batch.iter().enumerate().map(|(index, line)| {
        // A person who sends the same message twice means two messages.
        let unique = is_fifo(&queue.url).then(unique_id);
        let deduplication_id = like.deduplication_id.or(unique.as_deref());
        Entry { body: &line.body, deduplication_id, ..like }.at(index)
    });
    let request = queue.client.send_message_batch().queue_url(&queue.url);
    let answer = request.set_entries(Some(entries.collect())).send().await;
    let refused = |which: &str, reason: &str| {
        let message = format!("SQS refused the message{which}: {reason}");
        CommandError::new(Exit::Queue, message, "correct what the reason names, then send it again")
    };
    let answer = answer.map_err(|error| QueueError::of_sdk(&error)).map_err(|error| match batch {
        // The message alone is too large, or lacks what its queue needs.
        [line] if error.kind == QueueErrorKind::Service => {
            refused(&format!(" of line {}", line.number), &error.message)
        }
        _ => error.into(),
    })?;
    let at = |id: &str| batch.get(id.parse::<usize>().ok()?).map(|line| line.number);
    taken.extend(answer.successful().iter().filter_map(|entry| at(entry.id())));
    for entry in answer.successful() {
        sent(entry.message_id())?;
    }
    let Some(failed) = answer.failed().first() else { return Ok(()) };
    let which = at(failed.id()).map_or_else(String::new, |number| format!(" of line {number}"));
    Err(refused(&which, &format!("{} ({})", failed.message().unwrap_or_default(), failed.code())))
}

/// What a person must know who sent several lines: those that SQS has taken would come twice.
fn with_unsent(error: CommandError, lines: &[Line], taken: &HashSet<usize>) -> CommandError {
    if lines.len() < 2 {
        return error;
    }
    let unsent: Vec<_> = lines.iter().map(|line| line.number).filter(|line| !taken.contains(line)).collect();
    let message = format!("{}; {} of {} messages were sent", error.message, taken.len(), lines.len());
    let help = match unsent.is_empty() {
        true => error.help,
        false => format!("{}; not sent, as far as SQS has answered: lines {}", error.help, ranges(&unsent)),
    };
    CommandError { message, help, ..error }
}

/// `2, 4 to 6` for 2, 4, 5 and 6.
fn ranges(ascending: &[usize]) -> String {
    let mut ranges: Vec<RangeInclusive<usize>> = Vec::new();
    for number in ascending {
        match ranges.last_mut() {
            Some(last) if last.end() + 1 == *number => *last = *last.start()..=*number,
            _ => ranges.push(*number..=*number),
        }
    }
    let shown = ranges.iter().map(|range| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start} to {end}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn unique_id() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_named_by_their_ranges() {
        assert_eq!(ranges(&[2, 4, 5, 6, 9]), "2, 4 to 6, 9");
    }
}
