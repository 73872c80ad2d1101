//! What Amazon SQS documents, as cases for each server. The embedded one must do all of it; where an independent one differs,
//! [`DIFFERENCES`] says so, and the case then must fail there, so that the list stays true.

use std::collections::HashSet;
use std::future::Future;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName as Attribute, SendMessageBatchRequestEntry,
};
use libtest_mimic::Trial;

use crate::world::{Kind, World};

/// Where an independent server does not do what SQS documents.
const DIFFERENCES: [(Kind, &str, &str); 11] = [
    (Kind::LocalStack, "a_value_out_of_range_is_refused", "takes a visibility timeout beyond 12 h"),
    (
        Kind::LocalStack,
        "a_batch_succeeds_except_for_its_refused_entries",
        "takes a delay beyond 900 s in a batch",
    ),
    (
        Kind::LocalStack,
        "a_handle_that_is_not_the_latest_deletes_nothing_and_nobody_is_told",
        "deletes by any handle",
    ),
    (
        Kind::LocalStack,
        "twelve_hours_after_its_receive_no_message_stays_hidden",
        "counts the 12 h from the call, not from the receive",
    ),
    (Kind::LocalStack, "ten_attributes_are_taken_and_eleven_are_not", "takes any number of attributes"),
    (
        Kind::Moto,
        "an_invalid_batch_is_refused_as_a_whole",
        "says of a batch that is too long that its ids are not distinct",
    ),
    (
        Kind::Moto,
        "a_handle_that_is_not_the_latest_deletes_nothing_and_nobody_is_told",
        "deletes by any handle",
    ),
    (Kind::Moto, "a_body_that_sqs_does_not_take_is_refused", "takes a NUL"),
    (Kind::Moto, "ten_attributes_are_taken_and_eleven_are_not", "takes any number of attributes"),
    (
        Kind::Moto,
        "a_message_of_a_fifo_queue_needs_a_group_and_takes_no_delay",
        "takes a deduplication id on a standard queue",
    ),
    (Kind::Moto, "a_move_task_brings_dead_letters_back", "answers StartMessageMoveTask with 500"),
];

macro_rules! cases {
    ($($name:ident;)*) => {
        /// Every case for one kind of server.
        pub(crate) fn all(kind: Kind) -> Vec<Trial> {
            vec![$(trial(kind, stringify!($name), $name)),*]
        }
    };
}

cases! {
    a_received_message_is_hidden_and_comes_back_unless_it_is_deleted;
    a_visibility_timeout_of_zero_returns_the_message_at_once;
    a_long_poll_ends_when_a_message_comes_and_not_before;
    a_delayed_message_comes_when_its_delay_is_over;
    a_message_that_was_received_too_often_becomes_a_dead_letter;
    receives_are_counted_and_the_first_one_is_dated;
    a_value_out_of_range_is_refused;
    a_handle_or_a_queue_that_does_not_exist_is_refused;
    a_batch_succeeds_except_for_its_refused_entries;
    an_invalid_batch_is_refused_as_a_whole;
    a_handle_that_is_not_the_latest_deletes_nothing_and_nobody_is_told;
    a_message_that_is_gone_cannot_be_hidden_again;
    twelve_hours_after_its_receive_no_message_stays_hidden;
    a_body_that_sqs_does_not_take_is_refused;
    a_body_of_a_mebibyte_is_carried;
    a_batch_of_more_than_a_mebibyte_is_refused;
    attributes_come_back_with_their_types;
    ten_attributes_are_taken_and_eleven_are_not;
    groups_of_a_standard_queue_are_fair;
    a_receive_may_bring_a_whole_group;
    a_group_is_closed_while_a_message_of_it_is_hidden;
    a_second_message_with_the_same_deduplication_id_is_dropped;
    a_message_of_a_fifo_queue_needs_a_group_and_takes_no_delay;
    a_move_task_brings_dead_letters_back;
}

fn trial<F>(kind: Kind, name: &'static str, case: fn(Queue) -> F) -> Trial
where
    F: Future<Output = ()> + Send + 'static,
{
    Trial::test(format!("{}::protocol::{name}", kind.name()), move || {
        let _turn = kind.turn();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let run = runtime.spawn(async move { case(Queue::create(kind).await).await });
        let outcome = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), run).await });
        let difference = DIFFERENCES.iter().find(|(server, case, _)| (*server, *case) == (kind, name));
        match (outcome.expect("ends in time"), difference) {
            (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
            (Ok(()), Some((_, _, what))) => Err(format!("no longer true, remove it: {what}").into()),
            (Err(error), None) => std::panic::resume_unwind(error.into_panic()),
        }
    })
}

/// A standard queue with a dead-letter queue, on a server of this kind.
struct Queue {
    world: World,
    dead: String,
}

impl Queue {
    const RECEIVES: usize = 2;

    async fn create(kind: Kind) -> Self {
        let mut world = World::create(kind, false).await;
        let dead = world.url.clone();
        let arn = attribute(&world.client, &dead, Attribute::QueueArn).await;
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{}}}"#, Self::RECEIVES);
        world.renew().await;
        let set = world.client.set_queue_attributes().queue_url(&world.url);
        set.attributes(Attribute::RedrivePolicy, policy).send().await.expect("is set");
        Self { world, dead }
    }

    /// Takes a FIFO queue of the same server, with two messages of one group and one of another.
    async fn fifo(&mut self) {
        self.world.renew_fifo().await;
        for (group, body) in [("a", "a1"), ("a", "a2"), ("b", "b1")] {
            self.send_to_group(group, body).await;
        }
    }

    fn client(&self) -> &Client {
        &self.world.client
    }

    fn url(&self) -> &str {
        &self.world.url
    }

    fn sending(&self, body: &str) -> SendMessageFluentBuilder {
        self.client().send_message().queue_url(self.url()).message_body(body)
    }

    async fn send(&self, body: &str) -> String {
        self.sending(body).send().await.expect("is sent").message_id.expect("has one")
    }

    async fn send_to_group(&self, group: &str, body: &str) {
        self.sending(body)
            .message_group_id(group)
            .message_deduplication_id(body)
            .send()
            .await
            .expect("is sent");
    }

    async fn receive(&self, wait: i32, visibility: i32) -> Vec<Message> {
        receive(self.client(), self.url(), wait, visibility).await
    }

    async fn receive_one(&self, wait: i32, visibility: i32) -> Message {
        let mut messages = self.receive(wait, visibility).await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    async fn hide(&self, message: &Message, seconds: i32) -> Result<(), String> {
        let change = self.client().change_message_visibility().queue_url(self.url());
        let changed = change.receipt_handle(handle(message)).visibility_timeout(seconds).send().await;
        changed.map(drop).map_err(|error| code(&error))
    }

    async fn delete(&self, message: &Message) {
        let delete = self.client().delete_message().queue_url(self.url());
        delete.receipt_handle(handle(message)).send().await.expect("is answered");
    }

    /// Receives a message as often as the queue allows, and once more.
    async fn kill(&self) {
        for _ in 0..Self::RECEIVES {
            let message = self.receive_one(5, 600).await;
            self.hide(&message, 0).await.expect("is in flight");
        }
        assert!(self.receive(0, 30).await.is_empty(), "its receives are used up");
    }
}

async fn receive(client: &Client, url: &str, wait: i32, visibility: i32) -> Vec<Message> {
    let receive = client.receive_message().queue_url(url).max_number_of_messages(10);
    let receive = receive.message_attribute_names("All");
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
    let received = receive.wait_time_seconds(wait).visibility_timeout(visibility).send().await;
    received.expect("is received").messages.unwrap_or_default()
}

async fn attribute(client: &Client, url: &str, name: Attribute) -> String {
    let get = client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    get.send().await.expect("is read").attributes.unwrap_or_default().remove(&name).expect("is set")
}

fn handle(message: &Message) -> &str {
    message.receipt_handle().expect("a received message has one")
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap_or_default()).collect()
}

/// The code of an error, without the prefix that the older protocol has.
fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    code.rsplit('.').next().unwrap_or(code).to_owned()
}

async fn a_received_message_is_hidden_and_comes_back_unless_it_is_deleted(queue: Queue) {
    queue.send("a").await;
    let first = queue.receive_one(0, 1).await;
    assert!(queue.receive(0, 1).await.is_empty(), "it is hidden");
    let again = queue.receive_one(5, 30).await;
    assert_eq!(again.message_id, first.message_id);
    assert_ne!(again.receipt_handle, first.receipt_handle, "each receive has a handle of its own");
    queue.delete(&again).await;
    assert_eq!(queue.world.counts().await, (0, 0));
}

async fn a_visibility_timeout_of_zero_returns_the_message_at_once(queue: Queue) {
    queue.send("a").await;
    let message = queue.receive_one(0, 600).await;
    queue.hide(&message, 0).await.expect("is in flight");
    assert_eq!(queue.receive_one(5, 30).await.message_id, message.message_id);
}

async fn a_long_poll_ends_when_a_message_comes_and_not_before(queue: Queue) {
    let begun = Instant::now();
    assert!(queue.receive(1, 30).await.is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(900), "an empty long poll waits");
    let (received, _) = tokio::join!(queue.receive(3, 30), queue.send("a"));
    assert_eq!(received.len(), 1);
}

async fn a_delayed_message_comes_when_its_delay_is_over(queue: Queue) {
    queue.sending("late").delay_seconds(2).send().await.expect("is sent");
    assert!(queue.receive(0, 30).await.is_empty());
    let delayed = attribute(queue.client(), queue.url(), Attribute::ApproximateNumberOfMessagesDelayed).await;
    assert_eq!(delayed, "1");
    assert_eq!(bodies(&queue.receive(3, 30).await), ["late"]);
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html>
async fn a_message_that_was_received_too_often_becomes_a_dead_letter(queue: Queue) {
    let id = queue.send("poison").await;
    queue.kill().await;
    let dead = receive(queue.client(), &queue.dead, 5, 30).await;
    assert_eq!(bodies(&dead), ["poison"]);
    assert_eq!(dead[0].message_id(), Some(id.as_str()), "it keeps its id");
}

async fn receives_are_counted_and_the_first_one_is_dated(queue: Queue) {
    queue.send("a").await;
    let system = |message: &Message, name| {
        let all = message.attributes().expect("were asked for");
        all[&name].parse::<u64>().expect("is a number")
    };
    let first = queue.receive_one(0, 600).await;
    queue.hide(&first, 0).await.expect("is in flight");
    let again = queue.receive_one(5, 600).await;
    let counted = [&first, &again].map(|it| system(it, MessageSystemAttributeName::ApproximateReceiveCount));
    assert_eq!(counted, [1, 2]);
    let dated =
        [&first, &again].map(|it| system(it, MessageSystemAttributeName::ApproximateFirstReceiveTimestamp));
    assert_eq!(dated[0], dated[1]);
    assert!(system(&again, MessageSystemAttributeName::SentTimestamp) <= dated[0]);
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>
async fn a_value_out_of_range_is_refused(queue: Queue) {
    let receive = || queue.client().receive_message().queue_url(queue.url());
    for wrong in [
        receive().max_number_of_messages(0),
        receive().max_number_of_messages(11),
        receive().wait_time_seconds(21),
        receive().visibility_timeout(43_201),
    ] {
        let error = wrong.send().await.expect_err("is out of range");
        assert_eq!(code(&error), "InvalidParameterValue", "{error:?}");
    }
    let late = queue.sending("x").delay_seconds(901).send().await;
    assert_eq!(code(&late.expect_err("is out of range")), "InvalidParameterValue");
}

async fn a_handle_or_a_queue_that_does_not_exist_is_refused(queue: Queue) {
    let delete = queue.client().delete_message().queue_url(queue.url()).receipt_handle("garbage");
    assert_eq!(code(&delete.send().await.expect_err("is not a handle")), "ReceiptHandleIsInvalid");
    let missing = queue.client().receive_message().queue_url(format!("{}-missing", queue.url()));
    assert_eq!(code(&missing.send().await.expect_err("is missing")), "NonExistentQueue");
}

async fn a_batch_succeeds_except_for_its_refused_entries(queue: Queue) {
    let entries = ["good", "late"].map(|id| {
        let entry = SendMessageBatchRequestEntry::builder().id(id).message_body(id);
        entry.delay_seconds(if id == "late" { 901 } else { 0 }).build().expect("is whole")
    });
    let send = queue.client().send_message_batch().queue_url(queue.url()).set_entries(Some(entries.to_vec()));
    let sent = send.send().await.expect("is answered");
    assert_eq!((sent.successful().len(), sent.failed().len()), (1, 1), "{sent:?}");
    assert_eq!(sent.failed()[0].id(), "late");

    let message = queue.receive_one(5, 600).await;
    let entry = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().expect("is whole")
    };
    let entries = vec![entry("good", handle(&message)), entry("garbage", "garbage")];
    let change = queue.client().change_message_visibility_batch().queue_url(queue.url());
    let changed = change.set_entries(Some(entries)).send().await.expect("is answered");
    assert_eq!(changed.successful().len(), 1, "{changed:?}");
    assert_eq!(changed.failed()[0].code(), "ReceiptHandleIsInvalid");

    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().expect("is whole")
    };
    let entries = vec![entry("garbage", "garbage"), entry("good", handle(&message))];
    let delete = queue.client().delete_message_batch().queue_url(queue.url()).set_entries(Some(entries));
    let deleted = delete.send().await.expect("is answered");
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (1, 1), "{deleted:?}");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html>
async fn an_invalid_batch_is_refused_as_a_whole(queue: Queue) {
    let entry = |id: String| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle("x").build().expect("is whole")
    };
    for (expected, entries) in [
        ("EmptyBatchRequest", Vec::new()),
        ("TooManyEntriesInBatchRequest", (0..11).map(|n| entry(n.to_string())).collect()),
        ("BatchEntryIdsNotDistinct", vec![entry("a".into()), entry("a".into())]),
        ("InvalidBatchEntryId", vec![entry("a b".into())]),
    ] {
        let delete = queue.client().delete_message_batch().queue_url(queue.url()).set_entries(Some(entries));
        assert_eq!(code(&delete.send().await.expect_err("is wrong")), expected);
    }
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>
async fn a_handle_that_is_not_the_latest_deletes_nothing_and_nobody_is_told(queue: Queue) {
    queue.send("a").await;
    let first = queue.receive_one(0, 1).await;
    let again = queue.receive_one(5, 600).await;
    queue.delete(&first).await;
    assert_eq!(queue.world.counts().await, (0, 1));
    queue.delete(&again).await;
    assert_eq!(queue.world.counts().await, (0, 0));
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
async fn a_message_that_is_gone_cannot_be_hidden_again(queue: Queue) {
    queue.send("a").await;
    let message = queue.receive_one(0, 600).await;
    queue.delete(&message).await;
    let refused = queue.hide(&message, 60).await.expect_err("is gone");
    let documented = ["InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"];
    assert!(documented.contains(&refused.as_str()), "{refused}");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
async fn twelve_hours_after_its_receive_no_message_stays_hidden(queue: Queue) {
    queue.send("a").await;
    let message = queue.receive_one(0, 2).await;
    assert_eq!(queue.hide(&message, 43_200).await, Err("InvalidParameterValue".to_owned()));
    queue.hide(&message, 43_190).await.expect("is within the limit");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
async fn a_body_that_sqs_does_not_take_is_refused(queue: Queue) {
    for (body, expected) in [
        ("a\u{0}b".to_owned(), "InvalidMessageContents"),
        ("a\u{FFFE}b".to_owned(), "InvalidMessageContents"),
        (String::new(), "MissingParameter"),
        ("x".repeat(1_048_577), "InvalidParameterValue"),
    ] {
        assert_eq!(code(&queue.sending(&body).send().await.expect_err("is refused")), expected);
    }
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
async fn a_body_of_a_mebibyte_is_carried(queue: Queue) {
    queue.send(&"x".repeat(1_048_576)).await;
    assert_eq!(queue.receive_one(5, 30).await.body().map(str::len), Some(1_048_576));
}

async fn a_batch_of_more_than_a_mebibyte_is_refused(queue: Queue) {
    let entries = (0..6).map(|index| {
        let entry = SendMessageBatchRequestEntry::builder().id(index.to_string());
        entry.message_body("x".repeat(200_000)).build().expect("is whole")
    });
    let send =
        queue.client().send_message_batch().queue_url(queue.url()).set_entries(Some(entries.collect()));
    assert_eq!(code(&send.send().await.expect_err("is too long")), "BatchRequestTooLong");
}

fn typed(data_type: &str, value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type(data_type).string_value(value).build().expect("has a type")
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
async fn attributes_come_back_with_their_types(queue: Queue) {
    let binary = MessageAttributeValue::builder().data_type("Binary.png");
    let binary =
        binary.binary_value(aws_sdk_sqs::primitives::Blob::new([0, 255])).build().expect("has a type");
    let sent = [
        ("text", typed("String", "a")),
        ("number", typed("Number", "1.50")),
        ("own", typed("String.uuid", "b")),
        ("bytes", binary),
    ];
    let sending = sent
        .iter()
        .fold(queue.sending("x"), |sending, (name, value)| sending.message_attributes(*name, value.clone()));
    sending.send().await.expect("is sent");
    let message = queue.receive_one(5, 30).await;
    let received = message.message_attributes().expect("were asked for");
    for (name, value) in sent {
        assert_eq!(received[name].data_type(), value.data_type(), "{name}");
        assert_eq!(received[name].string_value(), value.string_value(), "{name}");
        assert_eq!(received[name].binary_value(), value.binary_value(), "{name}");
    }
}

async fn ten_attributes_are_taken_and_eleven_are_not(queue: Queue) {
    let sending = |count: usize| {
        (0..count).fold(queue.sending("x"), |sending, number| {
            sending.message_attributes(number.to_string(), typed("String", "a"))
        })
    };
    sending(10).send().await.expect("is sent");
    let refused = sending(11).send().await.expect_err("is one too many");
    assert_eq!(code(&refused), "InvalidParameterValue");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html>
async fn groups_of_a_standard_queue_are_fair(queue: Queue) {
    for body in ["a", "b"] {
        queue.sending(body).message_group_id("tenant").send().await.expect("a standard queue may be fair");
    }
    let mut seen = HashSet::new();
    while seen.len() < 2 {
        let received = queue.receive(5, 600).await;
        assert!(!received.is_empty(), "a group of a standard queue closes nothing: {seen:?}");
        seen.extend(bodies(&received).into_iter().map(str::to_owned));
    }
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>
async fn a_receive_may_bring_a_whole_group(mut queue: Queue) {
    queue.fifo().await;
    let all = queue.receive(0, 600).await;
    assert_eq!(bodies(&all), ["a1", "a2", "b1"], "as many of a group as possible, in order");
}

async fn a_group_is_closed_while_a_message_of_it_is_hidden(mut queue: Queue) {
    queue.fifo().await;
    let first = queue.receive(0, 600).await;
    queue.send_to_group("a", "a3").await;
    for message in first.iter().filter(|message| message.body() != Some("b1")) {
        assert!(queue.receive(0, 600).await.is_empty(), "the group is closed");
        queue.delete(message).await;
    }
    assert_eq!(bodies(&queue.receive(5, 600).await), ["a3"]);
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>
async fn a_second_message_with_the_same_deduplication_id_is_dropped(mut queue: Queue) {
    queue.fifo().await;
    let sending = queue.sending("again").message_group_id("c").message_deduplication_id("b1");
    sending.send().await.expect("is taken");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let received = queue.receive(5, 600).await;
        seen.extend(bodies(&received).into_iter().map(str::to_owned));
        for message in &received {
            queue.delete(message).await;
        }
    }
    assert_eq!(queue.world.counts().await, (0, 0), "{seen:?}");
    assert!(!seen.contains(&"again".to_owned()), "{seen:?}");
}

async fn a_message_of_a_fifo_queue_needs_a_group_and_takes_no_delay(mut queue: Queue) {
    let only = queue.sending("x").message_deduplication_id("only for FIFO").send().await;
    assert_eq!(code(&only.expect_err("is a standard queue")), "InvalidParameterValue");
    let space = queue.sending("x").message_group_id("with a space").send().await;
    assert_eq!(code(&space.expect_err("is no group")), "InvalidParameterValue");
    queue.fifo().await;
    let alone = queue.sending("x").message_deduplication_id("x").send().await;
    assert_eq!(code(&alone.expect_err("has no group")), "MissingParameter");
    let late = queue.sending("x").message_group_id("a").message_deduplication_id("x").delay_seconds(1);
    assert_eq!(code(&late.send().await.expect_err("is delayed")), "InvalidParameterValue");
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>
async fn a_move_task_brings_dead_letters_back(queue: Queue) {
    queue.send("a").await;
    queue.kill().await;
    let arn = attribute(queue.client(), &queue.dead, Attribute::QueueArn).await;
    queue.client().start_message_move_task().source_arn(&arn).send().await.expect("starts");
    assert_eq!(bodies(&queue.receive(5, 600).await), ["a"]);
    let own = attribute(queue.client(), queue.url(), Attribute::QueueArn).await;
    let wrong = queue.client().start_message_move_task().source_arn(own).send().await;
    assert!(wrong.is_err(), "it is not a dead-letter queue");
}
