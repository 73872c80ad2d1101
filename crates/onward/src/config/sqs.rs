use aws_sdk_sqs::Client;
use onward_worker::sqs::{client_of, client_of_private};

use crate::process::exit::{CommandError, Exit};

/// A client for the queue, configured by the AWS SDK's own variables and files; for a private queue by nothing.
pub(crate) async fn client(queue_url: &str, local: bool) -> Result<Client, CommandError> {
    let made = match local {
        true => client_of_private(queue_url),
        false => client_of(queue_url).await,
    };
    made.map_err(|error| {
        let message = format!("QUEUE_URL cannot be read as the URL of a queue: {}", error.reason());
        CommandError::new(Exit::Configuration, message, error.help())
    })
}
