//! What the errors of the AWS SDK mean.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::causes::causes;
use crate::error::{QueueError, QueueErrorKind};

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
    let throttled = ["Throttl", "TooManyRequests", "OverLimit", "RequestLimitExceeded", "SlowDown"];
    let is = |codes: &[&str]| codes.iter().any(|known| code.contains(known));
    let kind = match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) if !no_credentials(error) => {
            QueueErrorKind::Network
        }
        _ if is(&missing) => QueueErrorKind::MissingQueue,
        _ if is(&credentials) || no_credentials(error) => QueueErrorKind::Credentials,
        _ if is(&throttled) => QueueErrorKind::Throttled,
        _ => QueueErrorKind::Service,
    };
    QueueError::new(kind, causes(error))
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
