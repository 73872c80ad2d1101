use std::io::Read as _;
use std::path::Path;

use onward_worker::{Attribute, MESSAGE_ID};

use crate::cli;
use crate::letters;
use crate::letters::client::QueueClient;
use crate::letters::send::Line;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::queue::entry::Entry;

/// Sends one message, or one for each line of a file, and prints their ids.
pub(super) async fn run(queue: &QueueClient, send: &cli::Send) -> Result<Exit, CommandError> {
    let one = |body| vec![Line { number: 1, body }];
    let lines = match (&send.body, &send.lines) {
        (_, Some(file)) => numbered(&read(file)?),
        (Some(body), None) if body == "-" => one(read(Path::new("-"))?),
        (Some(body), None) => one(body.clone()),
        (None, None) => {
            let help =
                "give it as an argument, `-` for standard input, or `--lines FILE` with one body a line";
            return Err(CommandError::new(Exit::Usage, "there is no body to send", help));
        }
    };
    let attributes = attributes(send)?;
    let like = Entry {
        id: send.id.as_deref(),
        group: send.group.as_deref(),
        deduplication_id: send.deduplication_id.as_deref(),
        delay: send.delay,
        attributes: &attributes,
        ..Entry::default()
    };
    letters::send::send(queue, &lines, like, &mut data).await.map(|()| Exit::Done)
}

/// The lines that are not empty. A byte order mark is no part of the first one.
fn numbered(text: &str) -> Vec<Line> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().zip(1..);
    let filled = lines.filter(|(body, _)| !body.trim().is_empty());
    filled.map(|(body, number)| Line { number, body: body.to_owned() }).collect()
}

fn attributes(send: &cli::Send) -> Result<Vec<(String, Attribute)>, CommandError> {
    let mut attributes: Vec<(String, Attribute)> = Vec::new();
    for pair in &send.attributes {
        let Some((name, value)) =
            pair.split_once('=').filter(|(name, value)| !(name.is_empty() || value.is_empty()))
        else {
            let message = format!("the attribute `{pair}` has no name or no value");
            return Err(CommandError::new(Exit::Usage, message, "write it as `--attribute NAME=VALUE`"));
        };
        if name == MESSAGE_ID && (send.id.is_some() || send.lines.is_some()) {
            let message = format!("the attribute `{MESSAGE_ID}` is the identity of one message");
            let help = "give it once, as `--id` or as `--attribute`, and not with `--lines`";
            return Err(CommandError::new(Exit::Usage, message, help));
        }
        if attributes.iter().any(|(known, _)| known == name) {
            let message = format!("the attribute `{name}` is given twice");
            return Err(CommandError::new(Exit::Usage, message, "give each attribute once"));
        }
        attributes.push((name.to_owned(), Attribute::text(value)));
    }
    Ok(attributes)
}

/// Reads a file, or standard input for `-`.
fn read(file: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(|_| text),
        false => std::fs::read_to_string(file),
    };
    read.map_err(|error| {
        let message = format!("{} cannot be read: {error}", file.display());
        CommandError::new(Exit::Usage, message, "name a file of UTF-8 text, or `-` for standard input")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_body_in_each_line_that_is_not_empty() {
        let line = |number, body: &str| Line { number, body: body.to_owned() };
        assert_eq!(numbered("\u{feff}{}\r\n\r\n  \n[]"), [line(1, "{}"), line(4, "[]")]);
    }
}
