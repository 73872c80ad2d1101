//! The worker from launch to exit: places, gate, set-up, work, ledger.

use std::sync::Arc;

use onward_script::History;
use onward_worker::{Message, Sqs};
use tokio_util::sync::CancellationToken;

use crate::app::{BoxedHandler, Setup, SetupFn};
use crate::command::migrate::Identity;
use crate::database::Database as Pools;
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::gate::{self, Passed};
use crate::queue::client;
use crate::settings::{AppEnv, Settings};
use crate::signal::Stop;

/// What an app brings to its worker.
pub(crate) struct Work<S> {
    pub queue: &'static str,
    pub handler: BoxedHandler<S>,
    pub setup: SetupFn<S>,
    pub options: onward_worker::Options,
    pub example: Option<&'static str>,
}

/// Serves until it is told to stop; a second request ends it at once.
pub(crate) async fn run<S: Clone + Send + Sync + 'static>(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    work: Work<S>,
) -> Result<Exit, Failed> {
    let mut signals = Stop::listen()?;
    let stop = CancellationToken::new();
    let serving = serve(settings, history, identity, work, stop.clone());
    let told_twice = async {
        signals.requested().await;
        stop.cancel();
        signals.requested().await;
    };
    tokio::select! {
        exit = serving => exit,
        () = told_twice => {
            tracing::warn!("told to stop a second time: ending now");
            Ok(Exit::Interrupted)
        }
    }
}

async fn serve<S: Clone + Send + Sync + 'static>(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    work: Work<S>,
    stop: CancellationToken,
) -> Result<Exit, Failed> {
    let database = Database::open(settings, history.dialect).await?;
    let passed = gate::pass(&database.url, history, settings.env, identity).await?;
    let queue = Queue::open(settings, work.queue).await?;
    if settings.env == AppEnv::Development {
        banner(identity, &database, passed, &queue.url, work.example)?;
    }
    let pools = Pools::open(&database.url, &identity.name, work.options.concurrency)?;
    let state =
        (work.setup)(Setup { database: pools, echo_url: queue.echo_url() }).await.map_err(|error| {
            Failed::new(Exit::Failed, format!("the set-up failed: {error}"), "see the message")
        })?;

    let handler = work.handler;
    let handle = move |message: Message| {
        let (handler, state) = (handler.clone(), state.clone());
        async move { handler(message, state).await }
    };
    let sqs = Sqs::new(client(&queue.url, queue.is_local()).await?, &queue.url);
    let fallen = Arc::new(std::sync::OnceLock::new());
    let shutdown = async {
        tokio::select! {
            () = stop.cancelled() => {}
            reason = gate::fallen(&database.url, history, &identity.name) => {
                tracing::error!(reason = %reason.message, "the schema has moved on: draining");
                fallen.get_or_init(|| reason);
            }
        }
    };
    tracing::info!(queue = %queue.url, concurrency = work.options.concurrency, "serving");
    let ledger = onward_worker::run(sqs, handle, work.options, shutdown).await?;
    tracing::info!(%ledger, "stopped");
    if let Some(reason) = Arc::into_inner(fallen).and_then(std::sync::OnceLock::into_inner) {
        return Err(reason);
    }
    Ok(if ledger.abandoned == 0 { Exit::Done } else { Exit::Abandoned })
}

/// The queue, and what lives as long as it is worked.
struct Queue {
    url: String,
    #[cfg(feature = "local")]
    local: Option<crate::local::Local>,
}

impl Queue {
    async fn open(settings: &Settings, name: &str) -> Result<Self, Failed> {
        if let Some(url) = &settings.queue_url {
            return Ok(Self {
                url: url.clone(),
                #[cfg(feature = "local")]
                local: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            let local = crate::local::Local::start(settings, name).await?;
            return Ok(Self { url: local.queue_url.clone(), local: Some(local) });
        }
        let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{name}");
        Err(crate::environment::not_set(settings, "QUEUE_URL", &form))
    }

    #[cfg(feature = "local")]
    fn echo_url(&self) -> Option<String> {
        self.local.as_ref().map(|local| local.echo.url().to_owned())
    }

    #[cfg(not(feature = "local"))]
    fn echo_url(&self) -> Option<String> {
        None
    }

    #[cfg(feature = "local")]
    fn is_local(&self) -> bool {
        self.local.is_some()
    }

    #[cfg(not(feature = "local"))]
    fn is_local(&self) -> bool {
        false
    }
}

fn banner(
    identity: &Identity,
    database: &Database,
    passed: Passed,
    queue_url: &str,
    example: Option<&str>,
) -> Result<(), Failed> {
    let before = passed.before.map_or_else(|| "empty".to_owned(), |before| before.to_string());
    let schema = match passed.before {
        Some(before) if before == passed.now => format!("{before}, current"),
        _ => format!("{before} → {}", passed.now),
    };
    let mut lines = vec![
        format!("{} {} in development", identity.name, identity.version),
        String::new(),
        format!("  database  {}", database.url),
        format!("  schema    {schema}"),
        format!("  queue     {queue_url}"),
        String::new(),
    ];
    if let Some(psql) = &database.psql {
        lines.extend(["Look into the database:".to_owned(), format!("  {psql}"), String::new()]);
    }
    if let Some(example) = example {
        lines.extend([
            "Send a first message from a second terminal:".to_owned(),
            format!("  cargo run -- queue send '{example}'"),
            String::new(),
        ]);
    }
    crate::terminal::data(&lines.join("\n"))
}
