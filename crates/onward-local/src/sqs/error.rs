use serde_json::{Value, json};

/// An error that SQS documents, by the name of its shape.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqsError {
    pub shape: &'static str,
    pub message: String,
}

impl SqsError {
    pub(super) fn new(shape: &'static str, message: impl Into<String>) -> Self {
        Self { shape, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {parameter}."))
    }

    /// Its code in the older protocol, which clients still show.
    pub(super) fn code(&self) -> String {
        match self.shape {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
            "QueueNameExists" => "QueueAlreadyExists".to_owned(),
            "MessageNotInflight"
            | "EmptyBatchRequest"
            | "TooManyEntriesInBatchRequest"
            | "BatchEntryIdsNotDistinct"
            | "InvalidBatchEntryId"
            | "BatchRequestTooLong"
            | "PurgeQueueInProgress"
            | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{}", self.shape),
            shape => shape.to_owned(),
        }
    }

    /// The body of the answer.
    pub(super) fn body(&self) -> Value {
        json!({"__type": format!("com.amazonaws.sqs#{}", self.shape), "message": self.message})
    }

    /// An entry of a batch that is refused; the fault is the sender's.
    pub(super) fn entry(&self, id: &str) -> Value {
        json!({"Id": id, "SenderFault": true, "Code": self.code(), "Message": self.message})
    }
}
