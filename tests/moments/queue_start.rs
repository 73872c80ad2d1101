//! The start on a queue that refuses or does not answer.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Database, Running, arguments, free_address, get, production, run};

/// A server that answers each request to a queue by its text, and its URL.
fn answering(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/000000000000/deliveries", listener.local_addr().expect("is bound"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.expect("somebody connects"), answer.clone());
            std::thread::spawn(move || {
                let mut request = vec![0; 8192];
                let read = stream.read(&mut request).expect("is readable");
                let (status, body) = answer(&String::from_utf8_lossy(&request[..read]));
                let head = format!(
                    "HTTP/1.1 {status} Answer\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                // A client that has ended meanwhile takes no answer.
                let _ = stream.write_all(head.as_bytes());
            });
        }
    });
    url
}

fn refusal(kind: &str) -> (u16, String) {
    (400, format!(r#"{{"__type":"{kind}","message":"refused"}}"#))
}

/// A role that may receive but not delete would handle each message again and again.
#[test]
fn a_worker_does_not_start_on_a_queue_that_it_may_not_work() {
    let database = Database::create();
    let migrated = run(&mut arguments(production(&database.url, "http://127.0.0.1:1/0/x"), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    for (call, said) in [
        ("DeleteMessage", "allow `sqs:DeleteMessage` on this queue"),
        ("SendMessage", "allow `sqs:SendMessage` on its dead-letter queue"),
        ("GetQueueUrl", "allow `sqs:GetQueueUrl` on its dead-letter queue"),
        ("GetQueueAttributes", "allow `sqs:GetQueueAttributes` on this queue"),
    ] {
        let url = answering(move |request| {
            let request = request.to_lowercase();
            let is = |call: &str| request.contains(&format!("amazonsqs.{}\r", call.to_lowercase()));
            let policy = r#"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:0:deliveries-dead\",\"maxReceiveCount\":5}"#;
            match () {
                () if is(call) => refusal("com.amazon.coral.service#AccessDeniedException"),
                () if is("GetQueueAttributes") => {
                    (200, format!(r#"{{"Attributes":{{"RedrivePolicy":"{policy}"}}}}"#))
                }
                () if is("GetQueueUrl") => {
                    let host =
                        request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
                    (200, format!(r#"{{"QueueUrl":"http://{host}/0/deliveries-dead"}}"#))
                }
                () => refusal("com.amazonaws.sqs#InvalidParameterValue"),
            }
        });
        let refused = run(&mut arguments(production(&database.url, &url), ["serve"]));
        assert_eq!(refused.code, Some(5), "{call}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{call}: {}", refused.stderr);
    }
}

/// A deployment waits for it, and goes on when the outage is over.
#[test]
fn a_worker_that_starts_in_an_outage_of_its_queue_waits_and_is_not_ready() {
    let database = Database::create();
    let (is_away, (polled, polls)) = (Arc::new(AtomicBool::new(true)), std::sync::mpsc::channel());
    let away = is_away.clone();
    let url = answering(move |request| match request.contains("ReceiveMessage") {
        true if away.load(Ordering::Relaxed) => {
            let _ = polled.send(());
            (503, r#"{"__type":"com.amazonaws.sqs#ServiceUnavailable","message":"away"}"#.to_owned())
        }
        true => {
            // A long poll of an empty queue.
            std::thread::park_timeout(Duration::from_secs(1));
            (200, "{}".to_owned())
        }
        false => refusal("com.amazonaws.sqs#InvalidParameterValue"),
    });
    assert_eq!(run(&mut arguments(production(&database.url, &url), ["migrate"])).code, Some(0));
    let address = free_address();
    let mut serve = arguments(production(&database.url, &url), ["serve"]);
    let mut serving = Running::start(serve.env("HTTP_ADDR", &address));
    serving.wait_for("the queue cannot be read");
    assert!(get(&address, "/livez").starts_with("HTTP/1.1 200"));
    let ready = get(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.ends_with("polls fail"), "{ready}");
    assert!(polls.iter().take(2).count() == 2, "it polls again");
    is_away.store(false, Ordering::Relaxed);
    serving.wait_for("the queue can be read again");
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    serving.signal("-TERM");
    assert_eq!(serving.end().0.code(), Some(0));
}

/// As a sidecar or an operator rotates them.
#[test]
fn credentials_that_are_rotated_in_their_file_are_read_again() {
    let database = Database::create();
    let (sender, keys) = std::sync::mpsc::channel();
    let url = answering(move |request| {
        let key = request.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
        let _ = sender.send(key.unwrap_or_default().to_owned());
        if request.contains("ReceiveMessage") {
            // A long poll of an empty queue.
            std::thread::park_timeout(Duration::from_secs(1));
        }
        (200, "{}".to_owned())
    });
    let file = tempfile::NamedTempFile::new().expect("is made");
    let write = |key: &str| {
        let profile = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n");
        std::fs::write(file.path(), profile).expect("is written");
    };
    let app = |command: &str| {
        let mut app = arguments(production(&database.url, &url), [command]);
        app.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        app.env("AWS_SHARED_CREDENTIALS_FILE", file.path()).env("HTTP_ADDR", "127.0.0.1:0");
        app
    };
    assert_eq!(run(&mut app("migrate")).code, Some(0));
    write("BEFORE");
    let _serving = Running::start(&mut app("serve"));
    let deadline = Instant::now() + Duration::from_secs(150);
    let until = |key: &str| {
        let left = || deadline.saturating_duration_since(Instant::now());
        while keys.recv_timeout(left()).expect("the worker polls with the new key in time") != key {}
    };
    until("BEFORE");
    write("AFTER");
    until("AFTER");
}
