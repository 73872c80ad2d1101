use aws_sdk_sqs::Client;
use onward_worker::sqs::{client_of, client_of_private};
use url::Url;

use crate::process::exit::{CommandError, Exit};

/// A client for the queue, configured by the AWS SDK's own variables and files; for a private queue by nothing.
pub(crate) async fn client(queue_url: &str, local: bool) -> Result<Client, CommandError> {
    let made = match local {
        true => client_of_private(queue_url),
        false => {
            require_endpoint()?;
            client_of(queue_url).await
        }
    };
    made.map_err(|error| {
        let message = format!("QUEUE_URL cannot be read as the URL of a queue: {}", error.reason());
        CommandError::new(Exit::Configuration, message, error.help())
    })
}

/// The SDK takes any text, and fails with the first request, which it then shows with the message in it.
fn require_endpoint() -> Result<(), CommandError> {
    for name in ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"] {
        let Ok(given) = std::env::var(name) else { continue };
        let url = Url::parse(&given).ok();
        if !url.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
            let message = format!("{name} is not the address of a server");
            let help = "write it as http://HOST:PORT or https://HOST, or unset it";
            return Err(CommandError::new(Exit::Configuration, message, help));
        }
    }
    Ok(())
}
