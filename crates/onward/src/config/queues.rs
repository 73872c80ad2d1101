use onward_worker::sqs::RedrivePolicy;
#[cfg(feature = "local")]
use onward_worker::sqs::queue_name;
use onward_worker::{QueueError, QueueErrorKind};

use crate::config::database_url::not_set;
#[cfg(feature = "local")]
use crate::config::local::{Launch, Local, running_queues};
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::config::settings::Settings;
use crate::process::exit::{CommandError, Exit};

/// The names of an app's queues.
pub(crate) struct Names {
    pub worked: Vec<&'static str>,
    /// Those to which it sends and which it does not work.
    pub sent_to: Vec<&'static str>,
}

impl Names {
    pub(crate) fn all(&self) -> Vec<&'static str> {
        self.worked.iter().chain(&self.sent_to).copied().collect()
    }

    /// Splits the URLs of all its queues: those that the app works, and those to which it only sends.
    #[cfg(feature = "local")]
    fn split(&self, mut all: Vec<String>) -> (Vec<String>, Vec<(String, String)>) {
        let sent_to = all.split_off(self.worked.len());
        (all, self.sent_to.iter().map(|name| (*name).to_owned()).zip(sent_to).collect())
    }
}

/// The queues that the app works, with the private servers that must run as long as the app.
pub(crate) struct ResolvedQueues {
    /// One URL for each queue that the app works, in the same order.
    pub urls: Vec<String>,
    /// The queues to which it only sends, with their URLs, as far as these are configured.
    pub sent_to: Vec<(String, String)>,
    /// Of a stub that answers like an external HTTP service, beside private queues.
    pub echo_url: Option<String>,
    /// Whether the queues are private ones.
    pub is_local: bool,
    #[cfg(feature = "local")]
    _launch: Option<Local>,
}

impl ResolvedQueues {
    /// Returns the configured queues. In development without them, it starts private ones.
    pub(crate) async fn resolve(settings: &Settings, names: &Names) -> Result<Self, CommandError> {
        if let Some(first) = &settings.queue_url {
            let mut urls = Vec::new();
            for (index, name) in names.worked.iter().enumerate() {
                let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{name}");
                let missing = || not_set(settings, &queue_variable(name), &form);
                urls.push(configured_url(first, index, name).ok_or_else(missing)?);
            }
            let configured = |name: &&str| queue_url_of(name).map(|url| ((*name).to_owned(), url));
            return Ok(Self {
                urls,
                sent_to: names.sent_to.iter().filter_map(configured).collect(),
                echo_url: None,
                is_local: false,
                #[cfg(feature = "local")]
                _launch: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            let local = Local::start(settings, &names.all()).await?;
            let echo_url = Some(local.echo.url().to_owned());
            let (urls, sent_to) = names.split(local.queue_urls.clone());
            return Ok(Self { urls, sent_to, echo_url, is_local: true, _launch: Some(local) });
        }
        let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{}", names.worked[0]);
        Err(not_set(settings, "QUEUE_URL", &form))
    }

    /// As [`resolve`](Self::resolve), for a command that may run beside a launch: it then uses the queues of that launch.
    pub(crate) async fn resolve_for_command(
        settings: &Settings,
        names: &Names,
    ) -> Result<Self, CommandError> {
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development && settings.queue_url.is_none() && Launch::runs(settings) {
            let urls = running_queues(&settings.project)?;
            let named = |name: &str| {
                urls.iter().find(|url| queue_name(url) == name).cloned().ok_or_else(|| {
                    let message = format!("the launch that runs in this folder has no queue {name}");
                    CommandError::new(Exit::Failed, message, "start it again, with this build")
                })
            };
            let (urls, sent_to) = names.split(names.all().into_iter().map(named).collect::<Result<_, _>>()?);
            return Ok(Self { urls, sent_to, echo_url: None, is_local: true, _launch: None });
        }
        Self::resolve(settings, names).await
    }

    /// The private queues of a test, whose servers the test keeps.
    #[cfg(feature = "local")]
    pub(crate) fn of_test(names: &Names, urls: Vec<String>, echo_url: String) -> Self {
        let (urls, sent_to) = names.split(urls);
        Self { urls, sent_to, echo_url: Some(echo_url), is_local: true, _launch: None }
    }
}

/// The configured URL of the app's queue at this place: the first is that of `QUEUE_URL`, each other has its own variable.
pub(crate) fn configured_url(first: &str, index: usize, name: &str) -> Option<String> {
    if index == 0 { Some(first.to_owned()) } else { queue_url_of(name) }
}

/// What the variable of a queue says, if it is set.
pub(crate) fn queue_url_of(name: &str) -> Option<String> {
    let url = std::env::var(queue_variable(name)).ok()?;
    // A secret often ends with a line end.
    Some(url.trim().to_owned()).filter(|url| !url.is_empty())
}

/// The queue is there, and its policy names a dead-letter queue that cannot be used.
pub(crate) fn without_dead_letters(queue: &str, policy: &RedrivePolicy, error: &QueueError) -> CommandError {
    let message = format!("the dead-letter queue {} cannot be used: {error}", policy.name());
    let help = match error.kind {
        QueueErrorKind::MissingQueue => format!("create it, or correct the RedrivePolicy of {queue}"),
        _ => error.help().to_owned(),
    };
    CommandError::new(Exit::Queue, message, help)
}

/// `QUEUE_URL_ORDERS_FIFO` for `orders.fifo`.
pub(crate) fn queue_variable(name: &str) -> String {
    format!("QUEUE_URL_{}", variable_suffix(name))
}

/// A queue's name in the name of a variable: `ORDERS_FIFO` for `orders.fifo`.
pub(crate) fn variable_suffix(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
