use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{QueueAttributeName as Attribute, SendMessageBatchRequestEntry};
use aws_smithy_http_client::Builder;
use onward_local::LocalQueue;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    LocalStack,
    /// Closes a message group while a message of it is in flight, as AWS does; LocalStack does not.
    Moto,
}

impl Kind {
    pub(crate) const INDEPENDENT: [Self; 2] = [Self::LocalStack, Self::Moto];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::LocalStack => "localstack",
            Self::Moto => "moto",
        }
    }

    /// The variable that names the virtual environment of an independent server.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Embedded => "",
            Self::LocalStack => "LOCALSTACK_VENV",
            Self::Moto => "MOTO_VENV",
        }
    }

    pub(crate) fn is_there(self) -> bool {
        std::env::var_os(self.variable()).is_some()
    }

    /// Waits until no other case uses this server, where it needs that: each of moto's calls looks through all messages, and each of its long polls
    /// keeps the one interpreter busy, so beside the polls of another case its answers take longer than a lease.
    pub(crate) fn turn(self) -> Option<MutexGuard<'static, ()>> {
        static MOTO: Mutex<()> = Mutex::new(());
        // A case that failed leaves nothing behind but its own queue.
        (self == Self::Moto).then(|| MOTO.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The address of an independent server, after its start.
    fn endpoint(self) -> &'static OnceLock<String> {
        static LOCALSTACK: OnceLock<String> = OnceLock::new();
        static MOTO: OnceLock<String> = OnceLock::new();
        if self == Self::Moto { &MOTO } else { &LOCALSTACK }
    }

    fn command(self, address: SocketAddr) -> Command {
        let venv = PathBuf::from(std::env::var_os(self.variable()).expect("is set"));
        let mut command = Command::new(venv.join("bin/python"));
        if self == Self::Moto {
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
            return command;
        }
        command.args(["-m", "localstack.runtime.main"]).env("SERVICES", "sqs");
        command.env("GATEWAY_LISTEN", address.to_string());
        command.env("SKIP_SSL_CERT_DOWNLOAD", "1").env("DISABLE_EVENTS", "1").env("DNS_ADDRESS", "0");
        command.env("FILESYSTEM_ROOT", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("localstack"));
        command
    }
}

/// An independent server; it ends with the test.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(kind: Kind) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a port is free");
        let mut command = kind.command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().expect("the virtual environment holds a python"));
        let started = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "{kind:?} does not answer");
            std::thread::yield_now();
        }
        let endpoint = format!("http://{address}");
        // The first request loads the service, which takes longer than a call of a test may.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        let client = client(&endpoint);
        runtime.block_on(async {
            while client.list_queues().send().await.is_err() {
                assert!(started.elapsed() < Duration::from_secs(60), "{kind:?} has no SQS");
            }
        });
        kind.endpoint().set(endpoint).expect("is started once");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended by itself has already failed the tests.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A queue of its own.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) endpoint: String,
    pub(crate) client: Client,
    pub(crate) url: String,
    _embedded: Option<LocalQueue>,
}

impl World {
    pub(crate) async fn create(kind: Kind, is_fifo: bool) -> Self {
        let (endpoint, embedded) = match kind {
            Kind::Embedded => {
                let server = LocalQueue::start(0).await.expect("a port is free");
                (server.endpoint().to_owned(), Some(server))
            }
            kind => (kind.endpoint().get().expect("is started").clone(), None),
        };
        let client = client(&endpoint);
        let url = create_queue(&client, is_fifo).await;
        Self { kind, endpoint, client, url, _embedded: embedded }
    }

    /// Takes a new queue of the same server.
    pub(crate) async fn renew(&mut self) {
        self.url = create_queue(&self.client, false).await;
    }

    /// Takes a new FIFO queue of the same server.
    pub(crate) async fn renew_fifo(&mut self) {
        self.url = create_queue(&self.client, true).await;
    }

    /// Sends bodies in their order; a group makes it a FIFO queue's.
    pub(crate) async fn send(&self, bodies: &[String], group: Option<&str>) {
        for batch in bodies.chunks(10) {
            let entries = batch.iter().enumerate().map(|(index, body)| {
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                let entry = entry.set_message_group_id(group.map(str::to_owned));
                let entry = entry.set_message_deduplication_id(group.map(|group| format!("{group}-{body}")));
                entry.build().expect("is whole")
            });
            let send = self.client.send_message_batch().queue_url(&self.url);
            let sent = send.set_entries(Some(entries.collect())).send().await.expect("is sent");
            assert!(sent.failed().is_empty(), "{sent:?}");
        }
    }

    /// How many messages are visible, and how many are hidden.
    pub(crate) async fn counts(&self) -> (u64, u64) {
        let get = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(Attribute::All);
        let all = get.send().await.expect("is read").attributes.unwrap_or_default();
        let number = |name| all.get(&name).and_then(|text: &String| text.parse().ok()).unwrap_or(0);
        let hidden = number(Attribute::ApproximateNumberOfMessagesNotVisible);
        (number(Attribute::ApproximateNumberOfMessages), hidden)
    }

    /// Another client, which goes through `endpoint`.
    pub(crate) fn client_through(&self, endpoint: &str) -> Client {
        client(endpoint)
    }
}

async fn create_queue(client: &Client, is_fifo: bool) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("q-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let create = if is_fifo {
        let create = client.create_queue().queue_name(format!("{name}.fifo"));
        create.attributes(Attribute::FifoQueue, "true")
    } else {
        client.create_queue().queue_name(name)
    };
    create.send().await.expect("is created").queue_url.expect("has one")
}

fn client(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(4)).build();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(Builder::new().build_http())
        .timeout_config(timeouts)
        // The test is about the worker's own retries, not those of the SDK.
        .retry_config(RetryConfig::disabled())
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}
