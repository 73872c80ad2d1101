//! The worker as a process: it works its queue, says at once what is wrong with it, and stops in order.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use onward_local::LocalQueue;
use onward_worker::sqs::{attributes, client_of_private};

use aws_sdk_sqs::types::QueueAttributeName as Attribute;

fn worker(url: &str) -> Command {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_app-worker-only"));
    worker.env("QUEUE_URL", url).env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    worker.env_remove("AWS_ENDPOINT_URL").env_remove("AWS_ENDPOINT_URL_SQS").env_remove("AWS_REGION");
    worker.env_remove("AWS_DEFAULT_REGION").env_remove("AWS_EC2_METADATA_DISABLED");
    worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    worker
}

/// A worker that ends with the test, also when the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The kill of a process that has ended already fails, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn it_works_its_queue_until_it_is_told_to_stop() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create("orders").await.expect("is allowed");
    let client = client_of_private(&url).expect("is a queue's URL");
    for body in ["1", "two"] {
        client.send_message().queue_url(&url).message_body(body).send().await.expect("is sent");
    }
    let mut running = Running(worker(&url).spawn().expect("starts"));
    let mut log = BufReader::new(running.0.stderr.take().expect("is piped")).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    for line in log.by_ref() {
        let is_over =
            |text: &str| seen.iter().any(|line: &String| line.contains(text)) || line.contains(text);
        let both = is_over("order taken") && is_over("the order is no number");
        seen.push(line.clone());
        if both {
            break;
        }
    }
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("runs").success());
    seen.extend(log);
    let seen = seen.join("\n");
    assert!(running.0.wait().expect("ends").success(), "{seen}");
    assert!(seen.contains("1 done") && seen.contains("1 rejected"), "{seen}");
    let dead = url.replace("orders", "orders-dead");
    let counts =
        attributes(&client, &dead, &[Attribute::ApproximateNumberOfMessages]).await.expect("answers");
    assert_eq!(counts.get(&Attribute::ApproximateNumberOfMessages).map(String::as_str), Some("1"));
}

/// The region is that of the queue's URL. The instance metadata do not exist everywhere, and are slow to fail.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_ask_the_instance_metadata_for_what_it_knows() {
    let metadata = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = metadata.local_addr().expect("is bound");
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create("orders").await.expect("is allowed").replace("orders", "invoices");
    let mut worker = worker(&url);
    worker.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}")).env("HOME", "/nowhere");
    let output = worker.output().expect("runs");
    assert!(said(&output).contains("QueueDoesNotExist"), "{}", said(&output));
    metadata.set_nonblocking(true).expect("can be set");
    let asked = metadata.accept().map_err(|error| error.kind());
    assert!(matches!(asked, Err(ErrorKind::WouldBlock)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_queue_is_said_at_once() {
    let server = LocalQueue::start(0).await.expect("a port is free");
    let url = server.create("orders").await.expect("is allowed");
    for (url, expected) in [
        (String::new(), "QUEUE_URL names no queue: it is not set"),
        ("orders".to_owned(), "QUEUE_URL names no queue: it does not begin with https://"),
        ("https://user:secret@host/1/orders".to_owned(), "it holds a user name"),
        (url.replace("orders", "invoices"), "QueueDoesNotExist"),
    ] {
        let output = worker(&url).output().expect("runs");
        assert!(!output.status.success(), "{url}: {}", said(&output));
        assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
        assert!(!said(&output).contains("secret"), "{}", said(&output));
    }
}
