use std::io::Read as _;

use onward_worker::Fault;

use crate::cli;
use crate::exit::{Exit, Failed};
use crate::queue::client;
use crate::settings::Settings;
use crate::terminal::data;

pub(crate) async fn run(settings: &Settings, command: &cli::Queue) -> Result<Exit, Failed> {
    match command {
        cli::Queue::Send { body, group } => send(settings, body, group.as_deref()).await,
    }
}

/// The configured queue, or that of the development launch in another terminal.
fn queue_url(settings: &Settings) -> Result<(String, bool), Failed> {
    if let Some(url) = &settings.queue_url {
        return Ok((url.clone(), false));
    }
    #[cfg(feature = "local")]
    if settings.env == crate::settings::AppEnv::Development {
        return Ok((crate::local::running_queue(settings)?, true));
    }
    let form = "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME";
    Err(crate::environment::not_set(settings, "QUEUE_URL", form))
}

async fn send(settings: &Settings, body: &str, group: Option<&str>) -> Result<Exit, Failed> {
    let (url, local) = queue_url(settings)?;
    let body = if body == "-" { read_stdin()? } else { body.to_owned() };
    let sent = client(&url, local)
        .await?
        .send_message()
        .queue_url(&url)
        .message_body(body)
        .set_message_group_id(group.map(str::to_owned))
        .set_message_deduplication_id(group.map(|_| unique_id()))
        .send()
        .await
        .map_err(|error| Failed::from(Fault::of_sdk(&error)))?;
    data(sent.message_id().unwrap_or_default())?;
    Ok(Exit::Done)
}

/// Every message that a person sends is meant, also the same one twice.
fn unique_id() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

fn read_stdin() -> Result<String, Failed> {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).map_err(|error| {
        Failed::new(Exit::Usage, format!("the body cannot be read from stdin: {error}"), "send UTF-8 text")
    })?;
    Ok(body)
}
