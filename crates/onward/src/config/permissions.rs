//! The permissions that a worker needs on its queues, each tested with a request that does nothing: it is malformed, and SQS
//! refuses a malformed request only after it has checked the permission.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use onward_worker::sqs::{queue_url, redrive_policy};
use onward_worker::{QueueError, QueueErrorKind};

use crate::process::exit::{CommandError, Exit};

const RECEIVE: &str = "ReceiveMessage";

/// A handle that no message has.
const NO_HANDLE: &str = "onward-test-of-permissions";

/// One more than a call may ask for.
const TOO_MANY: i32 = 11;

/// One second more than a message may be delayed. A message without a body is malformed, too.
const TOO_LATE: i32 = 901;

/// An action that was tested.
pub(crate) struct Probed {
    pub action: &'static str,
    /// The queue, in words for a message.
    pub on: &'static str,
    /// How SQS refused the request, if it did.
    pub refused: Option<QueueErrorKind>,
}

impl Probed {
    pub(crate) fn is_denied(&self) -> bool {
        self.refused == Some(QueueErrorKind::Credentials)
    }

    /// What to do where it is denied.
    pub(crate) fn help(&self) -> String {
        format!("allow `sqs:{}` on {}", self.action, self.on)
    }
}

/// Tests what a worker does with a queue, and with the dead-letter queue if there is one.
pub(crate) async fn probe(client: &Client, url: &str) -> Vec<Probed> {
    let receive = client.receive_message().queue_url(url).max_number_of_messages(TOO_MANY);
    let delete = client.delete_message().queue_url(url).receipt_handle(NO_HANDLE);
    let change = client.change_message_visibility().queue_url(url).receipt_handle(NO_HANDLE);
    let (receive, delete, change, on_dead_letters) = tokio::join!(
        receive.send(),
        delete.send(),
        change.visibility_timeout(0).send(),
        probe_dead(client, url)
    );
    let of_queue = |action, refused| Probed { action, on: "this queue", refused };
    let mut probed = vec![
        of_queue(RECEIVE, receive.err().map(|error| kind(&error))),
        of_queue("DeleteMessage", delete.err().map(|error| kind(&error))),
        of_queue("ChangeMessageVisibility", change.err().map(|error| kind(&error))),
    ];
    probed.extend(on_dead_letters);
    probed
}

/// Tests the way of a message to the dead-letter queue up to the first call that is refused.
async fn probe_dead(client: &Client, url: &str) -> Vec<Probed> {
    let (mut probed, on) = (Vec::new(), "its dead-letter queue");
    let policy = redrive_policy(client, url).await;
    let refused = policy.as_ref().err().map(|error| error.kind);
    probed.push(Probed { action: "GetQueueAttributes", on: "this queue", refused });
    let Ok(Some(policy)) = policy else { return probed };
    let dead = queue_url(client, policy.name(), Some(policy.account())).await;
    probed.push(Probed { action: "GetQueueUrl", on, refused: dead.as_ref().err().map(|error| error.kind) });
    let Ok(dead) = dead else { return probed };
    let sent = client.send_message().queue_url(dead).delay_seconds(TOO_LATE).send().await;
    probed.push(Probed { action: "SendMessage", on, refused: sent.err().map(|error| kind(&error)) });
    probed
}

/// Refuses to work a queue whose messages the worker can receive but not end: it would handle each of them again and again.
/// A queue from which it cannot receive either is left to the first poll, whose error has the server's own words.
pub(crate) async fn require(client: &Client, url: &str) -> Result<(), CommandError> {
    let probed = probe(client, url).await;
    let denied: Vec<_> = probed.iter().filter(|probed| probed.is_denied()).collect();
    if denied.is_empty() || denied.iter().any(|probed| probed.action == RECEIVE) {
        return Ok(());
    }
    let actions: Vec<_> = denied.iter().map(|probed| format!("`sqs:{}`", probed.action)).collect();
    let message =
        format!("the queue {url} allows this role to receive messages but not {}", actions.join(" and "));
    let help = denied.iter().map(|probed| probed.help()).collect::<Vec<_>>().join(" and ");
    Err(CommandError::new(Exit::Queue, message, format!("{help}; no message was received")))
}

fn kind<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> QueueErrorKind {
    QueueError::of_sdk(error).kind
}
