use std::collections::HashSet;

use serde_json::{Value, json};

use super::error::SqsError;
use super::request::name_of;

/// The entries of a batch, if it is one that SQS answers entry by entry.
pub(super) fn entries(request: &Value) -> Result<&[Value], SqsError> {
    let entries = request["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let id = |entry: &Value| entry["Id"].as_str().unwrap_or_default().to_owned();
    let is_id = |id: &String| {
        (1..=80).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let ids: Vec<_> = entries.iter().map(id).collect();
    let wrong = |shape, message: &str| Err(SqsError::new(shape, message));
    match entries.len() {
        0 => wrong("EmptyBatchRequest", "There should be at least one entry in the request."),
        11.. => wrong("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10."),
        _ if !ids.iter().all(is_id) => wrong(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters \
             long.",
        ),
        _ if ids.iter().collect::<HashSet<_>>().len() < ids.len() => {
            wrong("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        }
        _ => Ok(entries),
    }
}

/// Does each entry by itself; those that are refused fail alone.
pub(super) fn each(
    request: &Value,
    work: impl Fn(&Value, &str) -> Result<Value, SqsError>,
) -> Result<Value, SqsError> {
    let name = name_of(request)?;
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for entry in entries(request)? {
        let id = entry["Id"].as_str().unwrap_or_default();
        match work(entry, &name) {
            Ok(mut answer) => {
                answer["Id"] = id.into();
                successful.push(answer);
            }
            // Without the queue there is no entry that could succeed.
            Err(error) if error.shape == "QueueDoesNotExist" => return Err(error),
            Err(error) => failed.push(error.entry(id)),
        }
    }
    Ok(json!({"Successful": successful, "Failed": failed}))
}
