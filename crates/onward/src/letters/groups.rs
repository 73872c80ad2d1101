//! Dead letters by reason, with what differs from letter to letter folded.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};

use super::letter;

/// The group of letters without a reason: SQS itself has moved them, or there was no room for it.
const NO_REASON: &str = "no reason was recorded";

/// Dead letters that died of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The reason with `#` in place of numbers and identifiers.
    pub reason: String,
    pub letters: usize,
    /// When the first and the last one died, in milliseconds since 1970.
    pub first_ms: Option<u64>,
    pub last_ms: Option<u64>,
    /// The identity of one of them.
    pub example: String,
}

/// The group of a letter's reason.
pub(crate) fn reason_group(letter: &Message) -> String {
    let reason = letter::reason(letter).map(|reason| folded(&reason)).filter(|reason| !reason.is_empty());
    reason.unwrap_or_else(|| NO_REASON.to_owned())
}

/// When a letter died, in milliseconds since 1970.
pub(crate) fn died_ms(letter: &Message) -> Option<u64> {
    let by_worker = letter::rejected(letter).and_then(|rejected| rejected["last_ms"].as_u64());
    by_worker.or_else(|| letter::ms(letter, &System::SentTimestamp))
}

/// The groups of some letters, the largest first.
pub(crate) fn groups<'a>(letters: impl IntoIterator<Item = &'a Message>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for letter in letters {
        let reason = reason_group(letter);
        let group = groups.entry(reason).or_insert_with_key(|reason| Group {
            reason: reason.clone(),
            letters: 0,
            first_ms: None,
            last_ms: None,
            example: letter::identity(letter).to_owned(),
        });
        group.letters += 1;
        let died = died_ms(letter);
        group.first_ms = group.first_ms.into_iter().chain(died).min();
        group.last_ms = group.last_ms.max(died);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.letters));
    groups
}

/// A reason with `#` in place of numbers and identifiers, so that letters that died of the same have the same. It is one line, which
/// a form and a command line can carry.
fn folded(reason: &str) -> String {
    let reason = &reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut text = String::with_capacity(reason.len());
    let mut rest = reason.as_str();
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
            ("first line\r\n\tsecond line 7 ", "first line second line #"),
            ("", ""),
        ] {
            assert_eq!(folded(reason), expected);
        }
    }
}
