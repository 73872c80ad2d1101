//! Processes, databases and queues for the tests; everything that a test starts ends with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use onward_local::{LocalQueue, PrivatePostgres};
use tokio::runtime::Runtime;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Far longer than anything takes: a test that reaches it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn app() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_app"));
    let inherited =
        ["HTTP_ADDR", "DATABASE_URL", "QUEUE_URL", "APP_ENV", "RUST_LOG", "AWS_PROFILE", "AWS_ENDPOINT_URL"];
    for variable in inherited {
        command.env_remove(variable);
    }
    command
}

/// The output and exit code of a finished command.
#[derive(Debug)]
pub(crate) struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Sends a signal to a process.
pub(crate) fn send(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status();
    assert!(sent.expect("kill runs").success());
}

/// One command of the app in production.
pub(crate) fn in_production(database: &Database, queue: &Queue, given: &[&str]) -> Said {
    run(&mut arguments(production(&database.url, &queue.url), given))
}

/// A command that keeps running; the end of the test kills it.
pub(crate) struct Running {
    pub child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("is piped"), sender.clone());
        forward(child.stderr.take().expect("is piped"), sender);
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that contains the text, and returns it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => panic!("ended before `{text}`:\n{}", self.seen()),
                Err(RecvTimeoutError::Timeout) => panic!("no `{text}` in time:\n{}", self.seen()),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        send(name, &self.child.id().to_string());
    }

    /// Waits for the end and returns the whole output.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end in time:\n{}", self.seen()),
            }
        }
        let status = self.child.wait().expect("it has ended");
        (status, self.seen())
    }

    fn seen(&self) -> String {
        self.seen.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `end` there is no process left to kill, and the error does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
}

/// A folder in the target directory that PostgreSQL's user can enter too.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// An empty project folder.
pub(crate) fn project() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A database of its own on the server that all tests share; the last test that uses the server ends it.
pub(crate) struct Database {
    pub url: String,
    _server: PrivatePostgres,
}

impl Database {
    pub(crate) fn create() -> Self {
        let server = PrivatePostgres::start(&scratch().join("postgres")).expect("PostgreSQL starts");
        let name = unique("moments");
        query(&server.url("app"), &format!("CREATE DATABASE {name}"));
        Self { url: server.url(&name), _server: server }
    }

    /// Runs SQL and returns the rows, columns separated by `|`.
    pub(crate) fn query(&self, sql: &str) -> String {
        query(&self.url, sql)
    }
}

pub(crate) fn query(url: &str, sql: &str) -> String {
    let runtime = Runtime::new().expect("a runtime starts");
    let messages = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    });
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or_default());
            Some(columns.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{}_{}_{next}", now.as_micros(), std::process::id())
}

/// An SQS-compatible server with one queue.
pub(crate) struct Queue {
    pub url: String,
    server: LocalQueue,
    runtime: Runtime,
}

impl Queue {
    pub(crate) fn create() -> Self {
        Self::named("deliveries")
    }

    pub(crate) fn named(name: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let (server, url) = runtime.block_on(async {
            let server = LocalQueue::start(0).await.expect("a port is free");
            let url = server.create(name).await.expect("the name is allowed");
            (server, url)
        });
        Self { url, server, runtime }
    }
}

impl Queue {
    fn client(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(aws_sdk_sqs::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_sqs::config::Credentials::new("x", "x", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.server.endpoint());
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// Deletes a queue of the same server.
    pub(crate) fn delete(&self, name: &str) {
        let url = self.url.replace("deliveries", name);
        let deleted = self.runtime.block_on(self.client().delete_queue().queue_url(url).send());
        deleted.expect("is deleted");
    }

    /// Another queue with the same dead-letter queue.
    pub(crate) fn beside(&self, name: &str) -> String {
        use aws_sdk_sqs::types::QueueAttributeName::{FifoQueue, RedrivePolicy};
        let (client, is_fifo) = (self.client(), name.ends_with(".fifo"));
        self.runtime.block_on(async {
            let asked = client.get_queue_attributes().queue_url(&self.url).attribute_names(RedrivePolicy);
            let mut attributes = asked.send().await.expect("exists").attributes.expect("has a policy");
            attributes.extend(is_fifo.then(|| (FifoQueue, "true".to_owned())));
            let create = client.create_queue().queue_name(name).set_attributes(Some(attributes));
            create.send().await.expect("is created").queue_url.expect("has one")
        })
    }

    /// Receives the messages of a queue, which hides them.
    pub(crate) fn hide(&self, url: &str) {
        let receive = self.client();
        let receive = receive.receive_message().queue_url(url).visibility_timeout(600).send();
        self.runtime.block_on(receive).expect("works");
    }

    /// Receives all messages of a queue as often as it allows, so that it moves them by itself.
    pub(crate) fn wear_out(&self, url: &str) {
        let client = self.client();
        self.runtime.block_on(async {
            let receive = || client.receive_message().queue_url(url).visibility_timeout(0).send();
            while receive().await.expect("works").messages.is_some_and(|all| !all.is_empty()) {}
        });
    }
}

/// The app as production starts it.
pub(crate) fn production(database: &str, queue: &str) -> Command {
    let mut command = app();
    command.env("APP_ENV", "production").env("DATABASE_URL", database).env("QUEUE_URL", queue);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// The app as a developer starts it in a project folder.
pub(crate) fn development(project: &Path) -> Command {
    let mut command = app();
    command.env("APP_ENV", "development").env("CARGO_MANIFEST_DIR", project).current_dir(project);
    command
}

pub(crate) fn arguments<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    mut command: Command,
    given: I,
) -> Command {
    command.args(given);
    command
}

/// The answer of an app's health endpoint.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("answers");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("is text");
    answer
}

/// The loopback address in a line of the log, as text or as JSON.
pub(crate) fn address_in(line: &str) -> String {
    let (_, rest) = line.split_once("127.0.0.1:").expect("the line has an address");
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}")
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").to_string()
}
