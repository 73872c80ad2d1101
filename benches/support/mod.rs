//! The code that the benches of the worker share: a client, and calls that send and delete messages.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::builders::SendMessageBatchRequestEntryBuilder;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry};
use aws_smithy_http_client::Builder;

pub(crate) fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "bench"))
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// A message for [`send`].
pub(crate) fn entry(body: String) -> SendMessageBatchRequestEntryBuilder {
    SendMessageBatchRequestEntry::builder().message_body(body)
}

/// Sends up to ten messages in one call.
pub(crate) async fn send(
    client: &Client,
    url: &str,
    entries: impl IntoIterator<Item = SendMessageBatchRequestEntryBuilder>,
) {
    let numbered = entries.into_iter().enumerate();
    let entries = numbered.map(|(index, entry)| entry.id(index.to_string()).build().expect("is whole"));
    let send = client.send_message_batch().queue_url(url).set_entries(Some(entries.collect()));
    assert!(send.send().await.expect("is sent").failed().is_empty());
}

/// Deletes the received messages in one call.
pub(crate) async fn delete(client: &Client, url: &str, received: &[Message]) {
    let entries = received.iter().enumerate().map(|(index, message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
        entry.set_receipt_handle(message.receipt_handle.clone()).build().expect("is whole")
    });
    let delete = client.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
    delete.send().await.expect("is deleted");
}
