//! What the embedded server does beside the protocol. The cases of the protocol run on it and on independent servers:
//! `tests/queues/protocol.rs` of the starter.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use aws_smithy_http_client::Builder;
use onward_local::LocalQueue;

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

async fn attribute(client: &Client, url: &str, name: Attribute) -> Option<String> {
    let get = client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    get.send().await.expect("is read").attributes.unwrap_or_default().remove(&name)
}

#[tokio::test]
async fn a_queue_is_made_with_a_dead_letter_queue_after_five_receives() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create("orders").await.expect("the name is allowed");
    let client = client(server.endpoint());
    let policy = attribute(&client, &url, Attribute::RedrivePolicy).await.expect("is set");
    let dead = attribute(&client, &format!("{url}-dead"), Attribute::QueueArn).await.expect("has one");
    assert!(policy.contains(&dead) && policy.contains("maxReceiveCount\":5"), "{policy}");
}

#[tokio::test]
async fn max_receive_count_may_be_a_string() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create("orders").await.expect("the name is allowed");
    let client = client(server.endpoint());
    let arn = attribute(&client, &url, Attribute::QueueArn).await.expect("has one");
    let policy = format!(r#"{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": "3"}}"#);
    let create = client.create_queue().queue_name("late").attributes(Attribute::RedrivePolicy, policy);
    let url = create.send().await.expect("is created").queue_url.expect("has one");
    let policy = attribute(&client, &url, Attribute::RedrivePolicy).await.expect("is set");
    assert!(policy.contains("maxReceiveCount\":3"), "{policy}");
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
    let bodies: Vec<_> = received.messages().iter().filter_map(|message| message.body()).collect();
    assert_eq!(bodies, ["kept"]);
}
