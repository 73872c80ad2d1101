//! The permissions that a worker needs on its queue, each tested with a request that does nothing: it is malformed, and SQS
//! refuses a malformed request only after it has checked the permission.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use onward_worker::{QueueError, QueueErrorKind};

use crate::process::exit::{CommandError, Exit};

const RECEIVE: &str = "ReceiveMessage";

/// A handle that no message has.
const NO_HANDLE: &str = "onward-test-of-permissions";

/// One more than a call may ask for.
const TOO_MANY: i32 = 11;

/// Each action, and how SQS refused the request.
pub(crate) async fn probe(client: &Client, url: &str) -> [(&'static str, Option<QueueErrorKind>); 3] {
    let receive = client.receive_message().queue_url(url).max_number_of_messages(TOO_MANY);
    let delete = client.delete_message().queue_url(url).receipt_handle(NO_HANDLE);
    let change = client.change_message_visibility().queue_url(url).receipt_handle(NO_HANDLE);
    let (receive, delete, change) =
        tokio::join!(receive.send(), delete.send(), change.visibility_timeout(0).send());
    [
        (RECEIVE, receive.err().map(|error| kind(&error))),
        ("DeleteMessage", delete.err().map(|error| kind(&error))),
        ("ChangeMessageVisibility", change.err().map(|error| kind(&error))),
    ]
}

/// Refuses to work a queue whose messages the worker can receive but not end: it would handle each of them again and again.
/// A queue from which it cannot receive either is left to the first poll, whose error has the server's own words.
pub(crate) async fn require(client: &Client, url: &str) -> Result<(), CommandError> {
    let probed = probe(client, url).await;
    let refused: Vec<_> = probed
        .iter()
        .filter(|(_, kind)| *kind == Some(QueueErrorKind::Credentials))
        .map(|(action, _)| *action)
        .collect();
    if refused.is_empty() || refused.contains(&RECEIVE) {
        return Ok(());
    }
    let actions = refused.iter().map(|action| format!("`sqs:{action}`")).collect::<Vec<_>>().join(" and ");
    let message = format!("the queue {url} allows this role to receive messages but not {actions}");
    let help = format!("allow {actions} on this queue; no message was received");
    Err(CommandError::new(Exit::Queue, message, help))
}

fn kind<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> QueueErrorKind {
    QueueError::of_sdk(error).kind
}
