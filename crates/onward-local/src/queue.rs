use std::sync::Arc;

use rustack_sqs_core::config::SqsConfig;
use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_http::service::{SqsHttpConfig, SqsHttpService};
use rustack_sqs_model::input::{CreateQueueInput, GetQueueAttributesInput};

use crate::error::Error;
use crate::faithful::Faithful;
use crate::loopback::{self, Loopback};

/// The port of the queue in a development launch, unless another program uses it already.
pub const QUEUE_PORT: u16 = 9324;

/// How often a message is received before it goes to the dead-letter queue.
const MAX_RECEIVE_COUNT: u32 = 5;

/// An SQS-compatible server in this process, on a loopback port, so that any SQS client can use it.
///
/// Its messages are in memory and are lost when it stops. Tests record its differences from Amazon SQS. A
/// receive returns at most one message of a FIFO group, and a body has at most 256 KiB. There are no message
/// move tasks, no retention and no `AWSTraceHeader`.
#[derive(Debug)]
pub struct LocalQueue {
    provider: Arc<RustackSqs>,
    endpoint: String,
    _server: Loopback,
}

impl LocalQueue {
    /// Starts it on `port`, or on the next free one; 0 takes any free port.
    ///
    /// # Errors
    ///
    /// If no port can be opened.
    pub async fn start(port: u16) -> Result<Self, Error> {
        let (listener, address) = loopback::bind(port).await?;
        let config =
            SqsConfig { host: address.ip().to_string(), port: address.port(), ..SqsConfig::default() };
        let provider = Arc::new(RustackSqs::new(config));
        let handler = Arc::new(Faithful::new(provider.clone()));
        let service = SqsHttpService::new(handler, SqsHttpConfig::default());
        let server = loopback::serve(listener, service);
        Ok(Self { provider, endpoint: format!("http://{address}"), _server: server })
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
        let dead_url = self.create_one(&dead_name, Vec::new()).await?;
        let input =
            GetQueueAttributesInput { queue_url: dead_url, attribute_names: vec!["QueueArn".to_owned()] };
        let attributes = self.provider.get_queue_attributes(input).await.map_err(refused)?.attributes;
        let arn = attributes.get("QueueArn").cloned().unwrap_or_default();
        let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE_COUNT});
        self.create_one(name, vec![("RedrivePolicy".to_owned(), policy.to_string())]).await
    }

    async fn create_one(&self, name: &str, attributes: Vec<(String, String)>) -> Result<String, Error> {
        let mut attributes: std::collections::HashMap<_, _> = attributes.into_iter().collect();
        if name.ends_with(".fifo") {
            attributes.insert("FifoQueue".to_owned(), "true".to_owned());
        }
        let input =
            CreateQueueInput { queue_name: name.to_owned(), attributes, ..CreateQueueInput::default() };
        let created = self.provider.create_queue(input).await.map_err(refused)?;
        Ok(created.queue_url.unwrap_or_default())
    }
}

fn refused(error: rustack_sqs_model::error::SqsError) -> Error {
    let help = "use up to 80 letters, digits, `-` and `_`; the name of a FIFO queue ends in `.fifo`";
    Error::new(format!("the local queue was not created: {}", error.message), help)
}
