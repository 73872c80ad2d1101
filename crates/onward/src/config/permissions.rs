//! The permissions that a worker needs on its queues, each tested with a request that does nothing: it is malformed, and SQS
//! refuses a malformed request only after it has checked the permission.

use std::time::Duration;

use aws_sdk_sqs::Client;
use onward_worker::sqs::{answered, queue_name, queue_url, redrive_policy};
use onward_worker::{QueueError, QueueErrorKind};
use tokio::time::sleep;

use crate::config::queues::queue_variable;
use crate::process::exit::{CommandError, Exit};

const RECEIVE: &str = "ReceiveMessage";

/// How long a start waits for the answers before it says so.
const PATIENCE: Duration = Duration::from_secs(5);

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
        answered(receive.send()),
        answered(delete.send()),
        answered(change.visibility_timeout(0).send()),
        probe_dead(client, url)
    );
    let of_queue = |action, refused: Option<QueueError>| Probed {
        action,
        on: "this queue",
        refused: refused.map(|error| error.kind),
    };
    let mut probed = vec![
        of_queue(RECEIVE, receive.err()),
        of_queue("DeleteMessage", delete.err()),
        of_queue("ChangeMessageVisibility", change.err()),
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
    let sent = answered(client.send_message().queue_url(dead).delay_seconds(TOO_LATE).send()).await;
    probed.push(Probed { action: "SendMessage", on, refused: sent.err().map(|error| error.kind) });
    probed
}

/// Finds a queue to which an app only sends, by its URL or else by its name, and tests whether the role may send there. Returns the URL.
///
/// # Errors
///
/// Whether the error may pass, and what is wrong with the queue.
pub(crate) async fn destination(
    client: &Client,
    name: &str,
    configured: Option<String>,
) -> Result<String, Refused> {
    let variable = queue_variable(name);
    let refused = |error: &QueueError, help: String| Refused {
        may_pass: error.may_pass(),
        error: CommandError::new(
            Exit::Queue,
            format!("the app sends to the queue `{name}`, and cannot: {error}"),
            help,
        ),
    };
    let found = match &configured {
        Some(url) => queue_url(client, queue_name(url), account(url)).await,
        None => queue_url(client, name, None).await,
    };
    let url = match (found, configured) {
        // With its URL a queue can be used by a role that may not ask for it.
        (Err(error), Some(url)) if error.kind == QueueErrorKind::Credentials => url,
        (Ok(_), Some(url)) | (Ok(url), None) => url,
        (Err(error), configured) => {
            let help = match (error.kind, configured) {
                (QueueErrorKind::Credentials, _) => {
                    format!(
                        "allow `sqs:GetQueueUrl` and `sqs:SendMessage` on it, or set {variable} to its URL"
                    )
                }
                (QueueErrorKind::MissingQueue, Some(url)) => {
                    format!(
                        "correct {variable}, which is {url}: the queue must be in the region of the app's first one"
                    )
                }
                (QueueErrorKind::MissingQueue, None) => {
                    format!("create it, or set {variable} to its URL")
                }
                _ => error.help().to_owned(),
            };
            return Err(refused(&error, help));
        }
    };
    match answered(client.send_message().queue_url(&url).delay_seconds(TOO_LATE).send()).await {
        Err(error) if error.kind == QueueErrorKind::Credentials => {
            Err(refused(&error, "allow `sqs:SendMessage` on it".to_owned()))
        }
        _ => Ok(url),
    }
}

/// The account in the URL of a queue: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`.
fn account(url: &str) -> Option<&str> {
    url.rsplit('/').nth(1).filter(|account| account.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A queue to which nothing can be sent.
pub(crate) struct Refused {
    /// Whether the same may succeed later, as after an outage.
    pub may_pass: bool,
    pub error: CommandError,
}

/// Refuses to work a queue whose messages the worker can receive but not end: it would handle each of them again and again.
/// A queue from which it cannot receive either is left to the first poll, whose error has the server's own words.
pub(crate) async fn require(client: &Client, url: &str) -> Result<(), CommandError> {
    let warned = async {
        sleep(PATIENCE).await;
        tracing::warn!(
            queue = url,
            "SQS has not answered yet what this role may do; the start waits a little longer"
        );
        sleep(PATIENCE * 2).await;
    };
    let probed = tokio::select! {
        probed = probe(client, url) => probed,
        // The polls say the rest, and end the start if they do not succeed.
        () = warned => return Ok(()),
    };
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
