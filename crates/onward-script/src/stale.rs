use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::directive::only_comments;
use crate::folder::{Content, Folder};
use crate::history::History;
use crate::lexer::lex;
use crate::name::FileName;
use crate::text::normalise;

/// How a folder differs from a history that was made of it, by the digest of each text: what differs first, in words. Cargo
/// compares times, so it does not notice a script that was replaced by an older file.
///
/// ```
/// use onward_script::{CheckOptions, Content, Entry, Folder, Known, check, stale};
///
/// let folder = |text: &str| Folder {
///     path: "sql".to_owned(),
///     entries: vec![Entry { name: "Baseline.sql".to_owned(), content: Content::File(text.into()) }],
/// };
/// let history = check(&folder("SELECT 1;"), CheckOptions::default(), &Known::default()).history.unwrap();
/// assert_eq!(stale(&history, &folder("SELECT 1;\r\n".trim_end())), None);
/// assert_eq!(stale(&history, &folder("SELECT 2;")).as_deref(), Some("Baseline.sql differs"));
/// ```
#[must_use]
pub fn stale(history: &History, folder: &Folder) -> Option<String> {
    let mut embedded: BTreeMap<String, Digest> =
        history.all().chain(&history.always).map(|script| (script.file_name(), script.digest)).collect();
    for entry in &folder.entries {
        if !matches!(
            FileName::parse(&entry.name),
            FileName::Baseline { .. } | FileName::Script { .. } | FileName::Always { .. }
        ) {
            continue;
        }
        let text = match &entry.content {
            Content::File(bytes) => normalise(&entry.name, bytes).ok(),
            _ => None,
        };
        match (embedded.remove(&entry.name), text) {
            (Some(digest), Some(text)) if Digest::of(text.as_bytes()) == digest => {}
            (Some(_), _) => return Some(format!("{} differs", entry.name)),
            // A new script without a statement is left out.
            (None, Some(text)) if only_comments(&lex(&text, history.dialect)) => {}
            (None, _) => return Some(format!("{} is new", entry.name)),
        }
    }
    embedded.into_keys().next().map(|name| format!("{name} is gone"))
}
