use std::io::Read as _;
use std::path::Path;

use onward_worker::Attribute;

use crate::cli;
use crate::letters;
use crate::letters::client::QueueClient;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::queue::entry::Entry;

/// Sends one message, or one for each line of a file, and prints their ids.
pub(super) async fn run(queue: &QueueClient, send: &cli::Send) -> Result<Exit, CommandError> {
    let bodies = match (&send.body, &send.lines) {
        (_, Some(file)) => {
            read(file)?.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
        }
        (Some(body), None) if body == "-" => vec![read(Path::new("-"))?],
        (Some(body), None) => vec![body.clone()],
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
    letters::send::send(queue, &bodies, like, &mut data).await.map(|()| Exit::Done)
}

fn attributes(send: &cli::Send) -> Result<Vec<(String, Attribute)>, CommandError> {
    let given = send.attributes.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), Attribute::text(value)))
        }
        _ => {
            let message = format!("the attribute `{pair}` has no name or no value");
            Err(CommandError::new(Exit::Usage, message, "write it as `--attribute NAME=VALUE`"))
        }
    });
    given.collect()
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
