use std::time::Duration;

use serde_json::Value;

use super::error::SqsError;

/// The name of the queue that a request is about.
pub(super) fn name_of(request: &Value) -> Result<String, SqsError> {
    let url = request["QueueUrl"].as_str().ok_or_else(|| SqsError::missing("QueueUrl"))?;
    Ok(url.rsplit('/').next().unwrap_or_default().to_owned())
}

/// A number of seconds from 0 to a limit, if it is given.
pub(super) fn seconds(request: &Value, name: &str, most: u64) -> Result<Option<Duration>, SqsError> {
    match &request[name] {
        Value::Null => Ok(None),
        value => match value.as_u64().filter(|seconds| *seconds <= most) {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Err(SqsError::invalid(format!(
                "Value {value} for parameter {name} is invalid. Reason: Must be between 0 and {most}, if provided."
            ))),
        },
    }
}

/// The texts in some lists of a request.
pub(super) fn names(request: &Value, fields: &[&str]) -> Vec<String> {
    let all = fields.iter().filter_map(|field| request[*field].as_array()).flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}
