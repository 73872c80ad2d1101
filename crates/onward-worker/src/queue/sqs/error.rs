//! What the AWS SDK answers: how long it is waited for, and what its errors mean.

use std::time::Duration;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use tokio::time::timeout;

use crate::causes::causes;
use crate::error::{QueueError, QueueErrorKind};

/// How long a call other than a poll may take, with its repetitions: much longer than SQS takes, so that only one that hangs is given up.
const MAX_CALL: Duration = Duration::from_secs(10);

/// Waits for the answer to a call other than a poll, for ten seconds. One that is given up may have been done all the same.
///
/// # Errors
///
/// As SQS answers, or if it does not.
pub fn answered<T, E>(
    call: impl Future<Output = Result<T, SdkError<E>>>,
) -> impl Future<Output = Result<T, QueueError>>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    // A call of the SDK is tens of kilobytes, which every task that might make it would hold.
    let call = Box::pin(call);
    async {
        match timeout(MAX_CALL, call).await {
            Ok(answer) => answer.map_err(|error| queue_error(&error)),
            Err(_) => Err(QueueError::new(QueueErrorKind::Network, "the call did not end in time")),
        }
    }
}

/// Whether a code of SQS says that there were too many calls.
fn is_throttling(code: &str) -> bool {
    let known = ["Throttl", "TooManyRequests", "OverLimit", "RequestLimitExceeded", "SlowDown"];
    known.iter().any(|known| code.contains(known))
}

/// Whether the refusal of one entry of a batch is none of its message: too many calls, rights, or the key of the queue. SQS may type these as
/// the sender's fault, too.
///
/// ```
/// use onward_worker::sqs::may_pass;
///
/// assert!(may_pass("RequestThrottled") && may_pass("KmsAccessDenied"));
/// assert!(!may_pass("InvalidMessageContents"));
/// ```
#[must_use]
pub fn may_pass(code: &str) -> bool {
    is_throttling(code)
        || ["AccessDenied", "Kms", "KMS", "ExpiredToken"].iter().any(|known| code.contains(known))
}

/// Sorts an error of the SDK by what can be done about it; the codes are SQS's own.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>
pub(super) fn queue_error<E>(error: &SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.code().unwrap_or_default();
    let missing = ["QueueDoesNotExist", "NonExistentQueue", "InvalidAddress"];
    let credentials = [
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignature",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClient",
    ];
    let is = |codes: &[&str]| codes.iter().any(|known| code.contains(known));
    let kind = match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) if !no_credentials(error) => {
            QueueErrorKind::Network
        }
        _ if is(&missing) => QueueErrorKind::MissingQueue,
        _ if is(&credentials) || no_credentials(error) => QueueErrorKind::Credentials,
        _ if is_throttling(code) => QueueErrorKind::Throttled,
        _ => QueueErrorKind::Service,
    };
    QueueError::new(kind, without_request(causes(error)))
}

/// A cause of the HTTP client may hold the request as its fields, with the message in it.
fn without_request(mut text: String) -> String {
    if let Some(at) = ["Request {", "SdkBody"].iter().filter_map(|mark| text.find(mark)).min() {
        text.truncate(at);
        text.push('…');
    }
    text
}

impl QueueError {
    /// Sorts an error of the AWS SDK by what can be done about it. The text keeps its causes.
    pub fn of_sdk<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        queue_error(error)
    }
}

/// The SDK reports missing credentials as a failure to build or send the request.
fn no_credentials<E: std::error::Error + 'static>(error: &SdkError<E>) -> bool {
    let text = causes(error).to_lowercase();
    text.contains("credential") || text.contains("no providers in chain")
}
