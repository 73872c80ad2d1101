//! The embedded server through the AWS SDK: it does what Amazon SQS documents.

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    QueueAttributeName as Attribute, SendMessageBatchRequestEntry,
};
use aws_smithy_http_client::Builder;
use onward_local::LocalQueue;

struct Queue {
    _server: LocalQueue,
    client: Client,
    url: String,
}

async fn queue(name: &str) -> Queue {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create(name).await.expect("the name is allowed");
    let client = client(server.endpoint());
    Queue { _server: server, client, url }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "test"))
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

impl Queue {
    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.expect("is sent");
    }

    async fn receive(&self, wait: i32, visibility: i32) -> Vec<Message> {
        let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let received = receive.wait_time_seconds(wait).visibility_timeout(visibility).send().await;
        received.expect("is received").messages.unwrap_or_default()
    }

    async fn receive_one(&self, wait: i32, visibility: i32) -> Message {
        let mut messages = self.receive(wait, visibility).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    async fn attribute(&self, url: &str, name: Attribute) -> Option<String> {
        let get = self.client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
        get.send().await.expect("is read").attributes.unwrap_or_default().remove(&name)
    }
}

fn receipt(message: &Message) -> String {
    message.receipt_handle.clone().expect("a received message has one")
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer").to_owned()
}

#[tokio::test]
async fn a_received_message_is_hidden_and_comes_back_unless_it_is_deleted() {
    let queue = queue("orders").await;
    queue.send("a").await;
    let first = queue.receive_one(0, 1).await;
    assert!(queue.receive(0, 1).await.is_empty(), "it is hidden");
    let again = queue.receive_one(5, 30).await;
    assert_eq!(again.message_id, first.message_id);
    assert_ne!(again.receipt_handle, first.receipt_handle, "each receive has a handle of its own");
    let delete = queue.client.delete_message().queue_url(&queue.url).receipt_handle(receipt(&again));
    delete.send().await.expect("is deleted");
    let left = queue.attribute(&queue.url, Attribute::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(left.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_visibility_timeout_of_zero_returns_the_message_at_once() {
    let queue = queue("orders").await;
    queue.send("a").await;
    let message = queue.receive_one(0, 600).await;
    let change = queue.client.change_message_visibility().queue_url(&queue.url).visibility_timeout(0);
    change.receipt_handle(receipt(&message)).send().await.expect("is changed");
    assert_eq!(queue.receive_one(5, 30).await.message_id, message.message_id);
}

#[tokio::test]
async fn a_long_poll_ends_when_a_message_comes_and_not_before() {
    let queue = queue("orders").await;
    let begun = Instant::now();
    assert!(queue.receive(1, 30).await.is_empty());
    assert!(begun.elapsed() >= Duration::from_secs(1), "an empty long poll waits");
    let (received, ()) = tokio::join!(queue.receive(20, 30), queue.send("a"));
    assert_eq!(received.len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(15), "a message ends the poll");
}

#[tokio::test]
async fn a_message_that_was_received_too_often_goes_to_the_dead_letter_queue() {
    let queue = queue("orders").await;
    let policy = queue.attribute(&queue.url, Attribute::RedrivePolicy).await.expect("is set");
    let dead_url = queue.url.replace("orders", "orders-dead");
    assert!(policy.contains(&queue.attribute(&dead_url, Attribute::QueueArn).await.expect("has one")));
    queue.send("poison").await;
    for _ in 0..5 {
        let message = queue.receive_one(5, 600).await;
        let change = queue.client.change_message_visibility().queue_url(&queue.url).visibility_timeout(0);
        change.receipt_handle(receipt(&message)).send().await.expect("is changed");
    }
    assert!(queue.receive(0, 30).await.is_empty());
    let dead = queue.client.receive_message().queue_url(&dead_url).wait_time_seconds(5).send().await;
    let dead = dead.expect("is received").messages.unwrap_or_default();
    assert_eq!(dead.first().and_then(|message| message.body.as_deref()), Some("poison"));
}

#[tokio::test]
async fn max_receive_count_may_be_a_string() {
    let queue = queue("orders").await;
    let arn = queue.attribute(&queue.url, Attribute::QueueArn).await.expect("has one");
    let policy = format!(r#"{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": "3"}}"#);
    let create = queue.client.create_queue().queue_name("late").attributes(Attribute::RedrivePolicy, policy);
    let url = create.send().await.expect("is created").queue_url.expect("has one");
    let policy = queue.attribute(&url, Attribute::RedrivePolicy).await.expect("is set");
    assert!(policy.contains("maxReceiveCount\":3"), "{policy}");
}

#[tokio::test]
async fn a_value_out_of_range_is_refused() {
    let queue = queue("orders").await;
    let (client, url) = (&queue.client, &queue.url);
    let receive = || client.receive_message().queue_url(url);
    for wrong in [
        receive().max_number_of_messages(0),
        receive().max_number_of_messages(11),
        receive().wait_time_seconds(21),
        receive().visibility_timeout(43_201),
    ] {
        let error = wrong.send().await.expect_err("is out of range");
        assert_eq!(code(&error), "InvalidParameterValue", "{error:?}");
    }
    let late = client.send_message().queue_url(url).message_body("x").delay_seconds(901).send().await;
    assert_eq!(code(&late.expect_err("is out of range")), "InvalidParameterValue");
    let garbage = client.delete_message().queue_url(url).receipt_handle("garbage").send().await;
    assert_eq!(code(&garbage.expect_err("is not a handle")), "ReceiptHandleIsInvalid");
    let missing = receive().queue_url(format!("{url}-missing")).send().await;
    assert!(code(&missing.expect_err("is missing")).contains("NonExistentQueue"));
}

#[tokio::test]
async fn a_batch_succeeds_except_for_its_refused_entries() {
    let queue = queue("orders").await;
    let entries = ["good", "late"].map(|id| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(id);
        entry.delay_seconds(if id == "late" { 901 } else { 0 }).build().expect("is whole")
    });
    let send = queue.client.send_message_batch().queue_url(&queue.url).set_entries(Some(entries.to_vec()));
    let sent = send.send().await.expect("is answered");
    assert_eq!((sent.successful().len(), sent.failed().len()), (1, 1), "{sent:?}");
    assert_eq!(sent.failed()[0].id(), "late");

    let message = queue.receive_one(5, 600).await;
    let entry = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().expect("is whole")
    };
    let entries = vec![entry("good", &receipt(&message)), entry("garbage", "garbage")];
    let change = queue.client.change_message_visibility_batch().queue_url(&queue.url);
    let changed = change.set_entries(Some(entries)).send().await.expect("is answered");
    assert_eq!(changed.successful().len(), 1, "{changed:?}");
    assert_eq!(changed.failed()[0].code(), "ReceiptHandleIsInvalid");
    assert!(changed.failed()[0].sender_fault());

    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().expect("is whole")
    };
    let entries = vec![entry("garbage", "garbage"), entry("good", &receipt(&message))];
    let delete = queue.client.delete_message_batch().queue_url(&queue.url).set_entries(Some(entries));
    let deleted = delete.send().await.expect("is answered");
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (1, 1), "{deleted:?}");
}

#[tokio::test]
async fn an_invalid_batch_is_refused_as_a_whole() {
    let queue = queue("orders").await;
    let entry = |id: String| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle("x").build().expect("is whole")
    };
    let batches = [
        ("AWS.SimpleQueueService.EmptyBatchRequest", Vec::new()),
        (
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            (0..11).map(|n| entry(n.to_string())).collect(),
        ),
        ("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", vec![entry("a".into()), entry("a".into())]),
        ("AWS.SimpleQueueService.InvalidBatchEntryId", vec![entry("a b".into())]),
    ];
    for (expected, entries) in batches {
        let delete = queue.client.delete_message_batch().queue_url(&queue.url).set_entries(Some(entries));
        let error = delete.send().await.expect_err("is wrong");
        let code = code(&error);
        assert!(expected.ends_with(code.rsplit('.').next().unwrap_or_default()), "{expected}: {code}");
    }
}

async fn fifo() -> Queue {
    let queue = queue("orders.fifo").await;
    for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
        let send = queue.client.send_message().queue_url(&queue.url).message_body(body);
        send.message_group_id(group).message_deduplication_id(body).send().await.expect("is sent");
    }
    queue
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_receive_may_bring_a_whole_group_which_is_closed_until_all_of_it_is_deleted() {
    let queue = fifo().await;
    let first = queue.receive(0, 600).await;
    assert_eq!(bodies(&first), ["a1", "a2", "b1"], "as many of a group as possible, in order");
    let send = queue.client.send_message().queue_url(&queue.url).message_body("a3");
    send.message_group_id("a").message_deduplication_id("a3").send().await.expect("is sent");
    for message in &first {
        assert!(queue.receive(0, 600).await.is_empty(), "the group is closed");
        let delete = queue.client.delete_message().queue_url(&queue.url).receipt_handle(receipt(message));
        delete.send().await.expect("is deleted");
        if message.body() == Some("a2") {
            break;
        }
    }
    assert_eq!(bodies(&queue.receive(5, 600).await), ["a3"]);
}

#[tokio::test]
async fn a_second_message_with_the_same_deduplication_id_is_dropped() {
    let queue = fifo().await;
    let send = queue.client.send_message().queue_url(&queue.url).message_body("again");
    send.message_group_id("c").message_deduplication_id("b1").send().await.expect("is taken");
    let mut seen = Vec::new();
    loop {
        let messages = queue.receive(0, 600).await;
        if messages.is_empty() {
            break;
        }
        seen.extend(messages.iter().map(|message| message.body().unwrap_or_default().to_owned()));
    }
    assert!(!seen.contains(&"again".to_owned()), "{seen:?}");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>
#[tokio::test]
async fn a_handle_that_is_not_the_latest_deletes_nothing_and_nobody_is_told() {
    let queue = queue("orders").await;
    queue.send("a").await;
    let first = queue.receive_one(0, 1).await;
    let again = queue.receive_one(5, 600).await;
    let delete = |message: &Message| {
        queue.client.delete_message().queue_url(&queue.url).receipt_handle(receipt(message)).send()
    };
    delete(&first).await.expect("is answered");
    let left = queue.attribute(&queue.url, Attribute::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(left.as_deref(), Some("1"));
    delete(&again).await.expect("is answered");
    let left = queue.attribute(&queue.url, Attribute::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(left.as_deref(), Some("0"));
}

#[tokio::test]
async fn twelve_hours_after_its_receive_no_message_stays_hidden() {
    let queue = queue("orders").await;
    queue.send("a").await;
    let message = queue.receive_one(0, 2).await;
    let change = |seconds| {
        let change = queue.client.change_message_visibility().queue_url(&queue.url);
        change.receipt_handle(receipt(&message)).visibility_timeout(seconds).send()
    };
    let error = change(43_200).await.expect_err("is beyond the limit");
    assert_eq!(code(&error), "InvalidParameterValue", "{error:?}");
    change(43_190).await.expect("is within the limit");
}

#[tokio::test]
async fn what_sqs_does_not_take_is_refused() {
    let queue = queue("orders").await;
    let send = |body: &str| queue.client.send_message().queue_url(&queue.url).message_body(body);
    for (request, expected) in [
        (send("a\u{0}b"), "InvalidMessageContents"),
        (send("a\u{FFFE}b"), "InvalidMessageContents"),
        (send(""), "MissingParameter"),
        (send(&"x".repeat(1_048_577)), "InvalidParameterValue"),
        (send("x").message_deduplication_id("only for FIFO"), "InvalidParameterValue"),
        (send("x").message_group_id("with a space"), "InvalidParameterValue"),
    ] {
        assert_eq!(code(&request.send().await.expect_err("is refused")), expected);
    }
    send("x").message_group_id("fair").send().await.expect("a standard queue may be fair");
    send(&"x".repeat(1_048_576)).send().await.expect("is 1 MiB");
    let entries = (0..6).map(|index| {
        let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
        entry.message_body("x".repeat(200_000)).build().expect("is whole")
    });
    let batch = queue.client.send_message_batch().queue_url(&queue.url).set_entries(Some(entries.collect()));
    let code = code(&batch.send().await.expect_err("is too long"));
    assert!(code.ends_with("BatchRequestTooLong"), "{code}");
}

#[tokio::test]
async fn a_move_task_brings_dead_letters_back() {
    let queue = queue("orders").await;
    let dead = queue.url.replace("orders", "orders-dead");
    for body in ["a", "b"] {
        queue.send(body).await;
    }
    for _ in 0..6 {
        for message in queue.receive(0, 600).await {
            let change = queue.client.change_message_visibility().queue_url(&queue.url).visibility_timeout(0);
            change.receipt_handle(receipt(&message)).send().await.expect("is changed");
        }
    }
    let visible = Attribute::ApproximateNumberOfMessages;
    assert_eq!(queue.attribute(&dead, visible.clone()).await.as_deref(), Some("2"));
    let arn = queue.attribute(&dead, Attribute::QueueArn).await.expect("has one");
    queue.client.start_message_move_task().source_arn(&arn).send().await.expect("starts");
    let back = queue.receive_one(5, 600).await;
    assert!(["a", "b"].contains(&back.body().unwrap_or_default()));
    let own = queue.attribute(&queue.url, Attribute::QueueArn).await.expect("has one");
    let wrong = queue.client.start_message_move_task().source_arn(own).send().await;
    assert_eq!(code(&wrong.expect_err("is not a dead-letter queue")), "InvalidParameterValue");
}

#[tokio::test]
async fn messages_and_dead_letters_outlive_the_server() {
    let folder = tempfile::tempdir().expect("is made");
    let start = || LocalQueue::start_in(0, folder.path());
    let server = start().await.expect("starts");
    server.create("orders").await.expect("is allowed");
    let url = server.create("orders").await.expect("is there");
    let client = client(server.endpoint());
    client.send_message().queue_url(&url).message_body("kept").send().await.expect("is sent");
    drop(server);

    let server = start().await.expect("starts again");
    let client = self::client(server.endpoint());
    let url = server.create("orders").await.expect("is there");
    let received = client.receive_message().queue_url(&url).send().await.expect("is received");
    assert_eq!(bodies(received.messages()), ["kept"]);
}
