use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use onward_worker::{Ledger, Message, Process, QueueError, Sqs, run_in};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::identity::{Identity, host_name};
use crate::config::permissions;
use crate::config::queues::ResolvedQueues;
use crate::config::sqs::client;
#[cfg(feature = "console")]
use crate::console::{Letters, QueueSite, Samples};
use crate::database::Database;
use crate::handler::errors::Classify;
use crate::handler::state::AnyState;
use crate::handler::work::QueueWork;
use crate::letters::backlog::Counted;
use crate::letters::client::QueueClient;
#[cfg(feature = "console")]
use crate::options::Origins;
use crate::process::exit::{CommandError, Exit};
use crate::telemetry::metrics::Watched;

/// How long a poll of the local queue waits at the most.
const LOCAL_WAIT: Duration = Duration::from_secs(1);

/// A queue whose worker is ready to start.
pub(crate) struct Prepared {
    queue: QueueWork,
    url: String,
    sqs: Sqs,
    pub watched: Watched,
    pub counted: Arc<Counted>,
}

#[cfg(feature = "console")]
impl Prepared {
    /// What the console shows of the queue.
    pub(super) fn shown(&self, origins: Origins) -> Arc<QueueSite> {
        Arc::new(QueueSite {
            watched: self.watched.clone(),
            counted: self.counted.clone(),
            options: self.queue.options.clone(),
            origins,
            paused: self.queue.paused.clone(),
            letters: Letters::default(),
            samples: Samples::default(),
        })
    }
}

/// Makes a client for each queue but the first, which has one, and refuses a queue that the role may not work.
pub(crate) async fn prepare(
    worked: Vec<QueueWork>,
    queues: &ResolvedQueues,
    first: Client,
    identity: &Identity,
) -> Result<Vec<Prepared>, CommandError> {
    let clients = std::iter::once(Some(first)).chain(std::iter::repeat_with(|| None));
    // All at once: each asks a server several questions.
    let preparing = worked
        .into_iter()
        .zip(&queues.urls)
        .zip(clients)
        .map(|((queue, url), client)| prepare_one(queue, url, client, queues, identity));
    futures_util::future::try_join_all(preparing).await
}

async fn prepare_one(
    mut queue: QueueWork,
    url: &str,
    made: Option<Client>,
    queues: &ResolvedQueues,
    identity: &Identity,
) -> Result<Prepared, CommandError> {
    if queues.is_local {
        // A stop waits for the open poll. A developer who presses Ctrl-C must not wait 20 s for it, and a poll of the local
        // queue costs nothing.
        queue.options.wait = queue.options.wait.min(LOCAL_WAIT);
    }
    let client = match made {
        Some(client) => client,
        None => client(url, queues.is_local).await?,
    };
    if !queues.is_local {
        permissions::require(&client, url).await?;
    }
    let asked = QueueClient { url: url.to_owned(), client: client.clone() };
    let counted = Arc::new(Counted::new(queue.name, asked));
    let sqs = Sqs::new(client, url).signed(&host_name(), &identity.version);
    let watched = Watched { queue: queue.name, monitor: Default::default(), wait: queue.options.wait };
    Ok(Prepared { queue, url: url.to_owned(), sqs, watched, counted })
}

/// The workers of an app, one for each queue.
pub(crate) struct Workers(JoinSet<(&'static str, Result<Ledger, QueueError>)>);

impl Workers {
    /// Starts the workers. From here on only the work itself can fail: a worker handles every message that it receives, or
    /// gives it back.
    pub(crate) fn start(
        prepared: Vec<Prepared>,
        state: &AnyState,
        database: &Database,
        classify: Option<&Arc<Classify>>,
        state_directory: Option<&Path>,
        drain: &CancellationToken,
    ) -> Self {
        let (mut workers, process) = (JoinSet::new(), process(state_directory));
        for Prepared { queue, url, sqs, watched, .. } in prepared {
            let (name, options) = (queue.name, queue.options.clone());
            let service = queue.into_service(state.clone(), database.clone(), classify.cloned());
            let handle = move |message: Message| service.clone().handle(message);
            #[cfg(feature = "otel")]
            let handle = crate::telemetry::otel::traced(name, handle);
            tracing::info!(queue = %url, concurrency = options.concurrency, "serving");
            let stop = drain.clone().cancelled_owned();
            let process = process.clone();
            workers.spawn(async move {
                (name, run_in(&process, sqs, handle, options, watched.monitor, stop).await)
            });
        }
        Self(workers)
    }

    /// Waits for every worker. If the schema becomes too new for this binary, or the worker of one queue fails, all end.
    pub(crate) async fn until_all_end(
        mut self,
        outdated: impl Future<Output = CommandError>,
        drain: &CancellationToken,
    ) -> Result<Exit, CommandError> {
        let mut outdated = std::pin::pin!(outdated);
        let (mut abandoned, mut failed) = (0, None);
        loop {
            let ended = tokio::select! {
                ended = self.0.join_next() => ended,
                error = &mut outdated, if failed.is_none() => {
                    tracing::error!(reason = %error.message, "the schema needs a newer binary: draining");
                    failed = Some(error);
                    drain.cancel();
                    continue;
                }
            };
            let error = match ended {
                None => break,
                Some(Ok((queue, Ok(ledger)))) => {
                    tracing::info!(queue, %ledger, "stopped");
                    abandoned += ledger.abandoned;
                    continue;
                }
                Some(Ok((_, Err(error)))) => error.into(),
                Some(Err(error)) => CommandError::fault(error),
            };
            failed.get_or_insert(error);
            drain.cancel();
        }
        match failed {
            Some(error) => Err(error),
            None if abandoned == 0 => Ok(Exit::Done),
            None => Ok(Exit::Abandoned),
        }
    }
}

/// The process that the workers share. Without its folder they work all the same, so its lack ends no start.
fn process(state_directory: Option<&Path>) -> Process {
    let Some(folder) = state_directory.map(|folder| folder.join("alone")) else { return Process::default() };
    Process::recording_in(&folder).unwrap_or_else(|error| {
        let folder = folder.display();
        let help = "let STATE_DIRECTORY name a folder that this user may write; without it a message that ends the process is \
                    given up only when its receives are used up";
        tracing::warn!(%folder, %error, help, "what runs alone cannot be recorded");
        Process::default()
    })
}
