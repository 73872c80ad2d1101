use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use rustack_sqs_core::handler::RustackSqsHandler;
use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_http::body::SqsResponseBody;
use rustack_sqs_http::dispatch::SqsHandler;
use rustack_sqs_http::response::json_response;
use rustack_sqs_model::error::{SqsError, SqsErrorCode};
use rustack_sqs_model::operations::SqsOperation;
use serde_json::{Value, json};

/// The handler of the embedded server, with the checks of SQS that the server lacks: ranges of numbers, invalid
/// receipt handles, and batches with some invalid entries.
#[derive(Debug)]
pub(crate) struct Faithful {
    inner: Arc<RustackSqsHandler>,
}

impl Faithful {
    pub(crate) fn new(provider: Arc<RustackSqs>) -> Self {
        Self { inner: Arc::new(RustackSqsHandler::new(provider)) }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<SqsResponseBody>, SqsError>> + Send>>;

impl SqsHandler for Faithful {
    fn handle_operation(&self, operation: SqsOperation, body: Bytes) -> Answer {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Ok(mut request) = serde_json::from_slice::<Value>(&body) else {
                return inner.handle_operation(operation, body).await;
            };
            read_redrive_policy(&mut request);
            if !request["Entries"].is_array() {
                check(&request)?;
                return inner.handle_operation(operation, to_bytes(&request)).await;
            }
            let refused = split_off_refused(&mut request)?;
            let answer = if request["Entries"] == json!([]) && !refused.is_empty() {
                json!({"Successful": [], "Failed": []})
            } else {
                let answer = inner.handle_operation(operation, to_bytes(&request)).await?;
                if refused.is_empty() {
                    return Ok(answer);
                }
                let bytes = answer.into_body().collect().await.map_err(internal)?.to_bytes();
                serde_json::from_slice(&bytes).map_err(internal)?
            };
            Ok(json_response(with_refused(answer, refused).to_string().into_bytes(), "local"))
        })
    }
}

fn to_bytes(request: &Value) -> Bytes {
    request.to_string().into()
}

fn internal(error: impl std::fmt::Display) -> SqsError {
    SqsError::internal_error(error.to_string())
}

/// SQS accepts `maxReceiveCount` as a number and as a string, and most clients send a string.
fn read_redrive_policy(request: &mut Value) {
    let Some(text) = request["Attributes"]["RedrivePolicy"].as_str() else { return };
    let Ok(mut policy) = serde_json::from_str::<Value>(text) else { return };
    if let Some(count) = policy["maxReceiveCount"].as_str().and_then(|count| count.parse::<u32>().ok()) {
        policy["maxReceiveCount"] = json!(count);
        request["Attributes"]["RedrivePolicy"] = json!(policy.to_string());
    }
}

/// The ranges of SQS: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/>
const RANGES: &[(&str, i64, i64)] = &[
    ("DelaySeconds", 0, 900),
    ("MaxNumberOfMessages", 1, 10),
    ("VisibilityTimeout", 0, 43_200),
    ("WaitTimeSeconds", 0, 20),
];

/// Checks a request, or one entry of a batch.
fn check(request: &Value) -> Result<(), SqsError> {
    for (name, least, most) in RANGES {
        let value = request[*name].as_i64();
        if value.is_some_and(|value| value < *least || value > *most) {
            let message = format!(
                "Value {} for parameter {name} is invalid. Reason: Must be >= {least} and <= {most}.",
                request[*name]
            );
            return Err(SqsError::invalid_parameter_value(message));
        }
    }
    match request["ReceiptHandle"].as_str() {
        Some(handle) if !is_receipt_handle(handle) => Err(SqsError::receipt_handle_is_invalid()),
        _ => Ok(()),
    }
}

/// A handle that this server may have given out: Base64 text, long enough for an id and a nonce.
fn is_receipt_handle(handle: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    handle.len() >= 48 && handle.chars().all(base64)
}

/// Removes the entries that SQS would refuse from a batch, and returns the ID and the error of each.
fn split_off_refused(request: &mut Value) -> Result<Vec<(Value, SqsError)>, SqsError> {
    let Some(entries) = request["Entries"].as_array_mut() else { return Ok(Vec::new()) };
    let mut ids = HashSet::new();
    for entry in entries.iter() {
        let id = entry["Id"].as_str().unwrap_or_default();
        if !ids.insert(id) {
            let message = format!("Id {id} repeated.");
            return Err(SqsError::new(SqsErrorCode::BatchEntryIdsNotDistinct, message));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || id.len() > 80 || !id.chars().all(allowed) {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                           It can be at most 80 letters long.";
            return Err(SqsError::new(SqsErrorCode::InvalidBatchEntryId, message));
        }
    }
    let whole_batch_is_wrong = entries.len() > 10;
    let mut refused = Vec::new();
    if !whole_batch_is_wrong {
        entries.retain(|entry| match check(entry) {
            Ok(()) => true,
            Err(error) => {
                refused.push((entry["Id"].clone(), error));
                false
            }
        });
    }
    Ok(refused)
}

fn with_refused(mut answer: Value, refused: Vec<(Value, SqsError)>) -> Value {
    let entries = refused.into_iter().map(|(id, error)| {
        json!({
            "Id": id,
            "SenderFault": true,
            "Code": error.code.error_type(),
            "Message": error.message,
        })
    });
    match answer["Failed"].as_array_mut() {
        Some(failed) => failed.extend(entries),
        None => answer["Failed"] = entries.collect(),
    }
    answer
}
