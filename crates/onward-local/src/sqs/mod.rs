//! An SQS-compatible server in this process. It does what Amazon SQS documents, also where that is unpleasant for a client.

mod batch;
mod error;
mod message;
mod messages;
mod move_tasks;
mod mover;
mod operations;
mod queue;
mod request;
mod server;
mod store;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::error::SqsError;
use self::server::Server;
use self::store::Store;
use crate::error::Error;
use crate::loopback::{self, Loopback};

/// The port of the queue in a development launch, unless another program uses it already.
pub const QUEUE_PORT: u16 = 9324;

/// How often a message is received before it goes to the dead-letter queue.
const MAX_RECEIVE_COUNT: u32 = 5;

/// An SQS-compatible server in this process, on a loopback port, so that any SQS client can use it.
///
/// It speaks the JSON protocol of SQS and does what Amazon SQS documents: limits and errors, groups that are closed while a
/// message of them is in flight, deduplication, twelve hours in flight, redrive policies, message move tasks. It checks no
/// credentials, delivers no message twice of its own accord, and does not implement `ReceiveRequestAttemptId`.
///
/// ```no_run
/// # async fn start() -> Result<(), onward_local::Error> {
/// let server = onward_local::LocalQueue::start(0).await?;
/// let url = server.create("orders").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalQueue {
    server: Arc<Server>,
    endpoint: String,
    storing: Option<(Store, JoinHandle<()>)>,
    _http: Loopback,
}

impl LocalQueue {
    /// Starts it on `port`, or on the next free one; 0 takes any free port. Its messages are in memory.
    ///
    /// # Errors
    ///
    /// If no port can be opened.
    pub async fn start(port: u16) -> Result<Self, Error> {
        let (listener, address) = loopback::bind(port).await?;
        let endpoint = format!("http://{address}");
        let server = Arc::new(Server::new(endpoint.clone()));
        let answering = server.clone();
        let http = loopback::serve(listener, service_fn(move |request| answer(answering.clone(), request)));
        Ok(Self { server, endpoint, storing: None, _http: http })
    }

    /// As [`LocalQueue::start`], with its queues in a folder, where the next start finds them.
    ///
    /// # Errors
    ///
    /// As [`LocalQueue::start`], and if the folder cannot be read.
    pub async fn start_in(port: u16, folder: &Path) -> Result<Self, Error> {
        let mut queue = Self::start(port).await?;
        let store = Store::new(folder);
        store.load(&queue.server).map_err(|error| {
            let message = format!("the queues in {} cannot be read: {error}", folder.display());
            Error::new(message, "delete the file `queues.json` there: its messages are lost")
        })?;
        let keeping = tokio::spawn(store.clone().keep(queue.server.clone()));
        queue.storing = Some((store, keeping));
        Ok(queue)
    }

    /// The address of the server, for `AWS_ENDPOINT_URL_SQS`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a queue with a dead-letter queue, `NAME-dead`, and returns its URL. A name that ends in `.fifo`
    /// makes both FIFO queues. A queue that exists already stays as it is.
    ///
    /// # Errors
    ///
    /// If SQS does not allow the name.
    pub async fn create(&self, name: &str) -> Result<String, Error> {
        let dead_name = match name.strip_suffix(".fifo") {
            Some(stem) => format!("{stem}-dead.fifo"),
            None => format!("{name}-dead"),
        };
        self.create_one(&dead_name, json!({})).await?;
        let arn = Server::arn(&dead_name);
        let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE_COUNT});
        self.create_one(name, json!({"RedrivePolicy": policy.to_string()})).await
    }

    async fn create_one(&self, name: &str, mut attributes: Value) -> Result<String, Error> {
        if self.server.queues().contains_key(name) {
            return Ok(self.server.url(name));
        }
        if name.ends_with(".fifo") {
            attributes["FifoQueue"] = "true".into();
        }
        let request = json!({"QueueName": name, "Attributes": attributes});
        operations::answer(&self.server, "CreateQueue", &request).await.map_err(|error| {
            let help = "use up to 80 letters, digits, `-` and `_`; the name of a FIFO queue ends in `.fifo`";
            Error::new(format!("the local queue was not created: {}", error.message), help)
        })?;
        Ok(self.server.url(name))
    }
}

impl Drop for LocalQueue {
    fn drop(&mut self) {
        if let Some((store, keeping)) = &self.storing {
            keeping.abort();
            if let Err(error) = store.save(&self.server) {
                tracing::warn!(%error, "the local queues could not be stored");
            }
        }
    }
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html>
async fn answer(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.strip_prefix("AmazonSQS.")).map(str::to_owned);
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = match (operation, serde_json::from_slice::<Value>(&body)) {
        (Some(operation), Ok(request)) => operations::answer(&server, &operation, &request).await,
        _ => {
            let message = "The local queue speaks the JSON protocol of SQS only: use a current SDK.";
            Err(SqsError::new("UnsupportedOperation", message))
        }
    };
    let (status, code, body) = match answer {
        Ok(body) => (StatusCode::OK, None, body),
        Err(error) => (StatusCode::BAD_REQUEST, Some(format!("{};Sender", error.code())), error.body()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Some(code) = code.and_then(|code| http::HeaderValue::from_str(&code).ok()) {
        headers.insert("x-amzn-query-error", code);
    }
    Ok(response)
}
