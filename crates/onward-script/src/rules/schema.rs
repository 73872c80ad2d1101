use crate::digest::Digest;
use crate::finding::{Finding, Severity};
use crate::folder::{Content, Folder};
use crate::lock::Lock;
use crate::name::SCHEMA_LOCK_FILE;
use crate::rule::Rule;
use crate::schema_lock::SchemaLock;
use crate::text::{line_span, normalise};

const REMEDY: &str = "`app script seal` writes it anew; it needs PostgreSQL's programs";

/// The text of `schema.lock`, as far as it describes the sealed scripts. That it does not is a warning only, because `seal`
/// needs an app that builds.
pub(crate) fn check(folder: &Folder, lock: &Lock, always: Option<Digest>) -> (String, Vec<Finding>) {
    let found = folder.entries.iter().find(|entry| entry.name == SCHEMA_LOCK_FILE);
    let Some(Content::File(bytes)) = found.map(|entry| &entry.content) else {
        return (String::new(), Vec::new());
    };
    let path = folder.path_of(SCHEMA_LOCK_FILE);
    let warn = |message: String| {
        Finding::file(Rule::Schema, path.clone(), message, REMEDY).severity(Severity::Warning)
    };
    let text = match normalise(&path, bytes) {
        Ok(text) => text,
        Err(finding) => return (String::new(), vec![warn(finding.message)]),
    };
    let mut schema = match SchemaLock::parse(&text) {
        Ok(schema) => schema,
        Err((line, message)) => {
            let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
            return (String::new(), vec![warn(message).at(line_span(&text, start))]);
        }
    };
    let described = schema.described(lock);
    let is_whole = described == schema.len();
    schema.truncate(described);
    let is_same_always = schema.always_digest() == always;
    if !is_same_always {
        schema.forget_always();
    }
    let message = match lock.lines.get(described) {
        Some(next) if is_whole => format!("the description of the schema ends before {}", next.name),
        Some(next) => format!("from {} on this describes other scripts than the sealed ones", next.name),
        None if is_whole && is_same_always => return (text.into_owned(), Vec::new()),
        None if is_whole => "this describes other scripts than those in `always/`".to_owned(),
        None => "this describes more scripts than are sealed".to_owned(),
    };
    (schema.to_text(), vec![warn(message)])
}
