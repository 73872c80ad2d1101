#[cfg(feature = "local")]
use onward_worker::sqs::queue_name;

use crate::config::database_url::not_set;
#[cfg(feature = "local")]
use crate::config::local::{Launch, Local, running_queues};
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::config::settings::Settings;
use crate::process::exit::CommandError;
#[cfg(feature = "local")]
use crate::process::exit::Exit;

/// The queues that the app works, with the private servers that must run as long as the app.
pub(crate) struct ResolvedQueues {
    /// One URL for each name, in the same order.
    pub urls: Vec<String>,
    /// Of a stub that answers like an external HTTP service, beside private queues.
    pub echo_url: Option<String>,
    /// Whether the queues are private ones.
    pub is_local: bool,
    #[cfg(feature = "local")]
    _launch: Option<Local>,
}

impl ResolvedQueues {
    /// Returns the configured queues. In development without them, it starts private ones.
    pub(crate) async fn resolve(settings: &Settings, names: &[&str]) -> Result<Self, CommandError> {
        if let Some(first) = &settings.queue_url {
            let mut urls = Vec::new();
            for (index, name) in names.iter().enumerate() {
                let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{name}");
                let missing = || not_set(settings, &queue_variable(name), &form);
                urls.push(configured_url(first, index, name).ok_or_else(missing)?);
            }
            return Ok(Self {
                urls,
                echo_url: None,
                is_local: false,
                #[cfg(feature = "local")]
                _launch: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            let local = Local::start(settings, names).await?;
            let echo_url = Some(local.echo.url().to_owned());
            return Ok(Self {
                urls: local.queue_urls.clone(),
                echo_url,
                is_local: true,
                _launch: Some(local),
            });
        }
        let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{}", names[0]);
        Err(not_set(settings, "QUEUE_URL", &form))
    }

    /// As [`resolve`](Self::resolve), for a command that may run beside a launch: it then uses the queues of that launch.
    pub(crate) async fn resolve_for_command(
        settings: &Settings,
        names: &[&str],
    ) -> Result<Self, CommandError> {
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development && settings.queue_url.is_none() && Launch::runs(settings) {
            let urls = running_queues(&settings.project)?;
            let named = |name: &&str| {
                urls.iter().find(|url| queue_name(url) == *name).cloned().ok_or_else(|| {
                    let message = format!("the launch that runs in this folder has no queue {name}");
                    CommandError::new(Exit::Failed, message, "start it again, with this build")
                })
            };
            let urls = names.iter().map(named).collect::<Result<_, _>>()?;
            return Ok(Self { urls, echo_url: None, is_local: true, _launch: None });
        }
        Self::resolve(settings, names).await
    }

    /// The private queues of a test, whose servers the test keeps.
    #[cfg(feature = "local")]
    pub(crate) const fn of_test(urls: Vec<String>, echo_url: String) -> Self {
        Self { urls, echo_url: Some(echo_url), is_local: true, _launch: None }
    }
}

/// The configured URL of the app's queue at this place: the first is that of `QUEUE_URL`, each other has its own variable.
pub(crate) fn configured_url(first: &str, index: usize, name: &str) -> Option<String> {
    if index == 0 { Some(first.to_owned()) } else { queue_url_of(name) }
}

/// What the variable of a queue says, if it is set.
pub(crate) fn queue_url_of(name: &str) -> Option<String> {
    std::env::var(queue_variable(name)).ok().filter(|url| !url.trim().is_empty())
}

/// `QUEUE_URL_ORDERS_FIFO` for `orders.fifo`.
pub(crate) fn queue_variable(name: &str) -> String {
    format!("QUEUE_URL_{}", variable_suffix(name))
}

/// A queue's name in the name of a variable: `ORDERS_FIFO` for `orders.fifo`.
pub(crate) fn variable_suffix(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
