//! The code that the benches of the worker share: a client, calls that send and delete messages, and rounds that are compared in pairs.

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

/// The processor time in milliseconds and the peak memory in MiB of a process, as Linux counts them; `self` is this one.
pub(crate) fn used(pid: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    // A tick is 10 ms; user and system time are the fields 14 and 15 of the whole line.
    ((ticks(11) + ticks(12)) * 10.0, peak.unwrap_or(0.0) / 1024.0)
}

/// The order of the clients in a round: every other round backwards, so that none always has the warmer machine.
pub(crate) fn alternating(clients: usize, round: usize) -> Vec<usize> {
    let order = 0..clients;
    if round.is_multiple_of(2) { order.collect() } else { order.rev().collect() }
}

/// The lowest, the median and the highest.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_by(f64::total_cmp);
    [sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}
