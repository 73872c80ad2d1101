//! `queue dead --group`: the dead letters by reason, with what differs from letter to letter folded.

use std::collections::BTreeMap;

use onward_worker::is_fifo;
use serde_json::{Value, json};

use super::look::{looked, note_of_looks};
use super::open::QueueClient;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};

/// How many letters are looked at.
const MOST: usize = 10_000;

#[derive(Default)]
struct Group {
    letters: usize,
    first_ms: Option<u64>,
    last_ms: Option<u64>,
    example: String,
}

pub(super) async fn run(queue: &QueueClient, as_json: bool) -> Result<Exit, CommandError> {
    note_of_looks();
    let dead = queue.dead_letters().await?;
    let letters = looked(queue, &dead, MOST).await?;
    if is_fifo(&dead) {
        note("a FIFO queue shows at most ten letters of a group, so that more may be there");
    }
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for letter in &letters {
        let reason = letter["rejected"]["reason"].as_str().unwrap_or("no reason: SQS moved it");
        let group = groups.entry(folded(reason)).or_default();
        group.letters += 1;
        let died = letter["rejected"]["last_ms"].as_u64().or(letter["sent_ms"].as_u64());
        group.first_ms = group.first_ms.into_iter().chain(died).min();
        group.last_ms = group.last_ms.max(died);
        if group.example.is_empty() {
            letter["id"].as_str().unwrap_or_default().clone_into(&mut group.example);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.letters));
    if as_json {
        let objects: Vec<_> = groups.iter().map(|(reason, group)| object(reason, group)).collect();
        data(&json!({ "groups": objects }).to_string())?;
        return Ok(Exit::Done);
    }
    for (reason, group) in &groups {
        let first = group.first_ms.map_or_else(|| "?".to_owned(), shown);
        let last = group.last_ms.map_or_else(|| "?".to_owned(), shown);
        data(&format!("{:6}  {first} to {last}  {reason}", group.letters))?;
    }
    data(&format!("{} dead letter(s) in {} group(s)", letters.len(), groups.len()))?;
    Ok(Exit::Done)
}

fn object(reason: &str, group: &Group) -> Value {
    json!({
        "reason": reason,
        "letters": group.letters,
        "first_ms": group.first_ms,
        "last_ms": group.last_ms,
        "example": group.example,
    })
}

/// A time of SQS for a person.
fn shown(ms: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    httpdate::fmt_http_date(time)
}

/// A reason with `#` in place of numbers and identifiers, so that letters that died of the same have the same.
fn folded(reason: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut text = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(first) = rest.chars().next() {
        let end =
            if is_part(first) { rest.find(|c| !is_part(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let is_hexadecimal = word.len() >= 8 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if is_hexadecimal && word.chars().any(|c| c.is_ascii_digit()) {
            text.push('#');
        } else {
            text.push_str(&without_numbers(word));
        }
    }
    text
}

fn without_numbers(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if text.ends_with('#') => {}
            true => text.push('#'),
            false => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_letter_to_letter_is_folded() {
        for (reason, expected) in [
            ("HTTP 503 after 1200 ms", "HTTP # after # ms"),
            ("order 5fea7756-0ea4-451a-a703-a558b933e274 is closed", "order # is closed"),
            ("no row deadbeef01 in `orders_2026`", "no row # in `orders_#`"),
            ("there is no destination `shop`", "there is no destination `shop`"),
            ("a decade-long façade", "a decade-long façade"),
            ("", ""),
        ] {
            assert_eq!(folded(reason), expected);
        }
    }
}
