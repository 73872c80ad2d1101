//! The files of a deployment: manifests are well formed and agree with the app, and the policies allow neither too little
//! nor too much.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use onward_worker::Options;
use serde_json::Value;

use crate::support::{Database, Queue, Running, address_in, arguments, get, production, run};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the wait after SIGTERM covers the grace, the open poll and the last deletes.
fn outlasts_the_stop(seconds: u64) -> bool {
    Duration::from_secs(seconds) >= Options::default().grace + Duration::from_secs(30)
}

/// The variables of the command line's help and the README, which a manifest may set.
fn is_known(variable: &str) -> bool {
    ["DATABASE_URL", "QUEUE_URL", "HTTP_ADDR", "STATE_DIRECTORY", "APP_ENV", "RUST_LOG", "CONSOLE_TOKEN"]
        .contains(&variable)
        || variable.starts_with("AWS_")
}

#[test]
fn the_kubernetes_manifests_agree_with_the_app() {
    let all: Vec<Value> = serde_saphyr::from_multiple(&read("kubernetes.yaml")).expect("is YAML");
    let kind = |kind: &str| all.iter().find(|manifest| manifest["kind"] == kind).expect("is there");
    for manifest in &all {
        for field in ["apiVersion", "kind"] {
            assert!(manifest[field].is_string(), "{manifest}");
        }
        let step = &manifest["metadata"]["labels"]["step"];
        assert_eq!(step, if manifest["kind"] == "Job" { "migrate" } else { "serve" }, "{manifest}");
    }
    let (job, deployment) = (&kind("Job")["spec"]["template"]["spec"], &kind("Deployment")["spec"]);
    assert_eq!(
        (&job["restartPolicy"], &job["containers"][0]["args"][0]),
        (&"Never".into(), &"migrate".into())
    );
    assert_eq!(deployment["selector"]["matchLabels"], deployment["template"]["metadata"]["labels"]);
    let pod = &deployment["template"]["spec"];
    assert!(outlasts_the_stop(pod["terminationGracePeriodSeconds"].as_u64().expect("is a number")));
    let serve = &pod["containers"][0];
    for (probe, path) in
        [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
    {
        assert_eq!(serve[probe]["httpGet"]["path"], path);
    }
    let variables = serve["env"].as_array().expect("is a list");
    assert!(
        variables.iter().all(|variable| is_known(variable["name"].as_str().unwrap_or_default())),
        "{serve}"
    );
    for container in [&job["containers"][0], serve] {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
        let given = container["args"].as_array().expect("is a list").iter().filter_map(Value::as_str);
        let said = run(&mut arguments(arguments(crate::support::app(), given), ["--help"]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
    let scaled = &kind("ScaledObject")["spec"];
    assert_eq!(scaled["scaleTargetRef"]["name"], kind("Deployment")["metadata"]["name"]);
    assert_eq!(scaled["triggers"][0]["metadata"]["queueURL"], variables[0]["value"]);
}

#[test]
fn the_compose_file_agrees_with_the_app() {
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).expect("is YAML");
    let services = &compose["services"];
    for (name, service) in services.as_object().expect("is a map") {
        let waits_for = service["depends_on"].as_object().into_iter().flatten();
        for (other, how) in waits_for {
            let has = if how["condition"] == "service_healthy" { "healthcheck" } else { "command" };
            assert!(
                services[other][has].is_object() || services[other][has].is_array(),
                "{name} waits for {other}"
            );
        }
    }
    for (name, command) in [("migrate", "migrate"), ("serve", "serve")] {
        assert_eq!(services[name]["command"][0], command);
        let environment = services[name]["environment"].as_object().expect("is merged");
        assert!(environment.keys().all(|variable| is_known(variable)), "{environment:?}");
    }
    let stop = services["serve"]["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s'));
    assert!(outlasts_the_stop(stop.and_then(|text| text.parse().ok()).expect("is in seconds")));
    let script = compose["configs"]["queues"]["content"].as_str().expect("is a script");
    assert!(script.contains("--queue-name deliveries ") && script.contains("maxReceiveCount"), "{script}");
}

/// Forwards to the queue and listens.
struct Recorder {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn before(queue: &Queue) -> Self {
        let (host, path) = queue.url.trim_start_matches("http://").split_once('/').expect("is a URL");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("is bound");
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (target, ear) = (host.to_owned(), heard.clone());
        // They end with the process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&target).expect("the queue is there");
                let (ear, back) = (ear.clone(), [server.try_clone(), client.try_clone()]);
                let [mut from, mut to] = back.map(|stream| stream.expect("is open"));
                thread::spawn(move || {
                    // The end of a connection is not an error.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
                thread::spawn(move || listen(client, server, &ear));
            }
        });
        Self { url: format!("http://{address}/{path}"), heard }
    }

    /// The calls for each queue, as actions of IAM, which has none for batches.
    fn actions(&self) -> BTreeSet<(String, String)> {
        let heard = self.heard.lock().expect("nobody panics");
        let text = String::from_utf8_lossy(&heard).into_owned();
        let calls = text.split("AmazonSQS.").skip(1);
        let call = |call: &str| {
            let action: String = call.chars().take_while(char::is_ascii_alphabetic).collect();
            let name = ["\"QueueUrl\":\"", "\"QueueName\":\""].iter().find_map(|key| {
                Some(call.split_once(key)?.1.split_once('"')?.0.rsplit('/').next()?.to_owned())
            });
            (name.unwrap_or_default(), action.trim_end_matches("Batch").to_owned())
        };
        calls.map(call).collect()
    }
}

fn listen(mut client: TcpStream, mut server: TcpStream, ear: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        ear.lock().expect("nobody panics").extend_from_slice(&buffer[..length]);
        if server.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// The actions that a policy allows.
fn allowed(name: &str) -> BTreeSet<(String, String)> {
    let policy: Value = serde_json::from_str(&read(&format!("iam/{name}.json"))).expect("is JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let statements = policy["Statement"].as_array().expect("is a list");
    let pairs = statements.iter().flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let queue = statement["Resource"].as_str().and_then(|arn| arn.rsplit(':').next()).expect("is an ARN");
        let actions = statement["Action"].as_array().expect("is a list").iter().filter_map(Value::as_str);
        let action = |action: &str| (queue.to_owned(), action.trim_start_matches("sqs:").to_owned());
        actions.map(action).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[test]
fn the_policies_allow_what_is_called_and_nothing_else() {
    let (database, queue) = (Database::create(), Queue::create());
    let app = |recorder: &Recorder, given: &[&str]| {
        let said = run(&mut arguments(production(&database.url, &recorder.url), given));
        assert_eq!(said.code, Some(0), "{given:?}: {}", said.stderr);
    };
    let sending = Recorder::before(&queue);
    app(&sending, &["migrate"]);
    // Nobody listens there, so the app tries the message again.
    database.query("INSERT INTO destinations (name, url) VALUES ('away', 'http://127.0.0.1:9/')");
    app(&sending, &["queue", "send", r#"{"destination": "away", "body": 1}"#]);
    app(&sending, &["queue", "send", r#"{"destination": "nowhere", "body": 1}"#]);
    assert_eq!(sending.actions(), allowed("send"));

    // Four looks are four receives, so that the fifth, the worker's, is the last one before SQS's own redrive.
    for _ in 0..4 {
        app(&Recorder::before(&queue), &["queue", "peek"]);
    }
    app(&sending, &["queue", "send", r#"{"destination": "away", "body": 2}"#]);
    let serving = Recorder::before(&queue);
    let mut command = arguments(production(&database.url, &serving.url), ["serve"]);
    let mut served = Running::start(command.env("HTTP_ADDR", "127.0.0.1:0"));
    let address = address_in(&served.wait_for("health and metrics"));
    let count = ("deliveries-dead".to_owned(), "GetQueueAttributes".to_owned());
    assert!(!serving.actions().contains(&count), "nobody has looked yet");
    assert!(get(&address, "/metrics").contains("onward_queue_up{queue=\"deliveries\"} 1"));
    let outcome = r#""message":"message "#;
    let outcomes = served.wait_for(outcome) + &served.wait_for(outcome) + &served.wait_for(outcome);
    served.signal("-TERM");
    assert_eq!(served.end().0.code(), Some(0), "{outcomes}");
    assert_eq!(serving.actions(), allowed("serve"));

    let redriving = Recorder::before(&queue);
    app(&redriving, &["queue", "redrive", "--filter", "another reason"]);
    app(&redriving, &["queue", "redrive"]);
    // Nothing is left, so it asks what is in flight.
    app(&redriving, &["queue", "redrive"]);
    assert_eq!(redriving.actions(), allowed("redrive"));
}
