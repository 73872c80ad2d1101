use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use onward_worker::QueueError;
use onward_worker::sqs::queue_url;

/// The client of the app's queues, and their URLs. A queue that the app does not work is looked up by its name, in the account and
/// region of the first one.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub client: Client,
    known: Arc<Mutex<HashMap<String, String>>>,
}

impl Addresses {
    pub(crate) fn new(client: Client, known: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { client, known: Arc::new(Mutex::new(known.into_iter().collect())) }
    }

    pub(crate) async fn url(&self, queue: &str) -> Result<String, QueueError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
        if let Some(url) = known {
            return Ok(url);
        }
        let url = queue_url(&self.client, queue, None).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned(), url.clone());
        Ok(url)
    }
}
