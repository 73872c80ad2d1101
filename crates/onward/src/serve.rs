//! The worker from launch to exit: places, gate, set-up, work, ledger.

use std::io::IsTerminal as _;

use onward_script::History;
use onward_worker::{Fault, Ledger, Message, Monitor, Sqs, run_monitored};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::app::{BoxedHandler, BoxedLayer, Setup, SetupFn};
use crate::command;
use crate::command::migrate::Identity;
use crate::database::Database as Pools;
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::gate::{self, Passed};
use crate::health::{self, Watched};
use crate::layer::{HandlerError, MessageService};
use crate::notify;
use crate::outbox::Relay;
use crate::queue::client;
use crate::settings::{AppEnv, Settings};
use crate::signal::{Reload, Stop};
use crate::telemetry::LogLevels;

/// What an app brings to its workers.
pub(crate) struct Work<S> {
    pub queues: Vec<WorkedQueue<S>>,
    pub setup: SetupFn<S>,
    pub has_outbox: bool,
    pub example: Option<&'static str>,
}

/// One queue and how it is worked.
pub(crate) struct WorkedQueue<S> {
    pub name: &'static str,
    pub handler: BoxedHandler<S>,
    /// Around the handler, from the inside out.
    pub layers: Vec<BoxedLayer>,
    pub options: onward_worker::Options,
}

/// Serves until it is told to stop; a second request ends it at once.
pub(crate) async fn run<S: Clone + Send + Sync + 'static>(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    work: Work<S>,
    levels: LogLevels,
) -> Result<Exit, Failed> {
    // Who closes the terminal does not want the app, and its private servers, to stay.
    let in_terminal = settings.env == AppEnv::Development || std::io::stderr().is_terminal();
    let signals = Stop::listen(in_terminal)?;
    let _reloading = match in_terminal {
        true => None,
        false => Some(AbortOnDropHandle::new(tokio::spawn(reload(Reload::listen()?, levels)))),
    };
    let stop = CancellationToken::new();
    let serving = serve(settings, history, identity, work, stop.clone());
    tokio::select! {
        exit = serving => exit,
        () = signals.told_twice(&stop) => Ok(Exit::Interrupted),
    }
}

async fn reload(mut requests: Reload, levels: LogLevels) {
    loop {
        requests.requested().await;
        levels.reload();
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
    let passed = gate::pass(&database.url, history, settings.env, identity, &stop).await?;
    let names: Vec<_> = work.queues.iter().map(|queue| queue.name).collect();
    let places = Places::open(settings, &names).await?;
    if settings.env == AppEnv::Development {
        banner(identity, &database, passed, &places.urls, work.example)?;
    }
    let handlers = work.queues.iter().map(|queue| queue.options.concurrency).sum();
    let grace = work.queues.iter().map(|queue| queue.options.grace).max().unwrap_or_default();
    let pools = Pools::open(&database.url, &identity.name, handlers)?;
    let given = Setup { database: pools.clone(), echo_url: places.echo_url() };
    let state = (work.setup)(given).await.map_err(|error| {
        Failed::new(Exit::Failed, format!("the set-up failed: {error}"), "see the message")
    })?;

    // Ends the polls: by the stop, by a schema that has moved on, or because another queue cannot be worked.
    let drain = stop.child_token();
    let mut prepared = Vec::new();
    for (queue, url) in work.queues.into_iter().zip(&places.urls) {
        let sqs = Sqs::new(client(url, places.is_local()).await?, url)
            .signed(&command::migrate::host_name(), &identity.version);
        let watched = Watched { queue: queue.name, monitor: Monitor::default(), wait: queue.options.wait };
        prepared.push((queue, sqs, watched));
    }
    let watched: Vec<_> = prepared.iter().map(|(_, _, watched)| watched.clone()).collect();
    let _health = health::serve(settings, watched.clone(), drain.clone()).await?;
    #[cfg(feature = "otel")]
    crate::otel::observe(&watched);
    let _manager = AbortOnDropHandle::new(tokio::spawn(notify::keep(watched, drain.clone(), grace)));
    let relaying = CancellationToken::new();
    let relay = match work.has_outbox {
        true => Some(tokio::spawn(relay(&places, &names, &pools).await?.run(relaying.clone()))),
        false => None,
    };

    // From here on nothing fails but the work itself: what is received is either handled or given back.
    let mut workers = JoinSet::new();
    for ((queue, sqs, watched), url) in prepared.into_iter().zip(&places.urls) {
        let WorkedQueue { name, handler, layers, options } = queue;
        let (state, pools) = (state.clone(), pools.clone());
        let handler = tower::service_fn(move |message: Message| {
            let outcome = handler(message, state.clone(), pools.clone());
            async move { outcome.await.map_err(HandlerError) }
        });
        let service = layers.into_iter().fold(MessageService::new(handler), |inner, layer| layer(inner));
        let handle = move |message: Message| service.clone().handle(message);
        #[cfg(feature = "otel")]
        let handle = crate::otel::traced(name, handle);
        tracing::info!(queue = %url, concurrency = options.concurrency, "serving");
        let told = drain.clone().cancelled_owned();
        workers
            .spawn(async move { (name, run_monitored(sqs, handle, options, watched.monitor, told).await) });
    }
    let fallen = gate::fallen(&database.url, history, &identity.name);
    let outcome = until_all_end(workers, fallen, &drain).await;
    relaying.cancel();
    if let Some(relay) = relay
        && let Err(error) = relay.await
    {
        tracing::error!(%error, "the task that publishes the outbox failed");
    }
    outcome
}

/// Waits for every worker. The schema may fall behind meanwhile, and one queue that cannot be worked ends them all.
async fn until_all_end(
    mut workers: JoinSet<(&'static str, Result<Ledger, Fault>)>,
    fallen: impl Future<Output = Failed>,
    drain: &CancellationToken,
) -> Result<Exit, Failed> {
    let mut fallen = std::pin::pin!(fallen);
    let (mut abandoned, mut failed) = (0, None);
    loop {
        let ended = tokio::select! {
            ended = workers.join_next() => ended,
            reason = &mut fallen, if failed.is_none() => {
                tracing::error!(reason = %reason.message, "the schema has moved on: draining");
                failed = Some(reason);
                drain.cancel();
                continue;
            }
        };
        let reason = match ended {
            None => break,
            Some(Ok((queue, Ok(ledger)))) => {
                tracing::info!(queue, %ledger, "stopped");
                abandoned += ledger.abandoned;
                continue;
            }
            Some(Ok((_, Err(fault)))) => fault.into(),
            Some(Err(error)) => {
                Failed::new(Exit::Failed, error, "this is a fault of the product; please report it")
            }
        };
        failed.get_or_insert(reason);
        drain.cancel();
    }
    match failed {
        Some(failed) => Err(failed),
        None if abandoned == 0 => Ok(Exit::Done),
        None => Ok(Exit::Abandoned),
    }
}

async fn relay(places: &Places, names: &[&str], pools: &Pools) -> Result<Relay, Failed> {
    Ok(Relay {
        outbox: pools.outbox(),
        client: client(&places.urls[0], places.is_local()).await?,
        known: names.iter().map(ToString::to_string).zip(places.urls.clone()).collect(),
        creates: places.is_local(),
        wake: pools.wake.clone(),
    })
}

/// Where the queues are, and what lives as long as they are worked.
struct Places {
    urls: Vec<String>,
    #[cfg(feature = "local")]
    local: Option<crate::local::Local>,
}

impl Places {
    async fn open(settings: &Settings, names: &[&str]) -> Result<Self, Failed> {
        if let Some(first) = &settings.queue_url {
            let mut urls = vec![first.clone()];
            for name in &names[1..] {
                let variable = queue_variable(name);
                let url = std::env::var(&variable).ok().filter(|url| !url.trim().is_empty());
                let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{name}");
                urls.push(url.ok_or_else(|| crate::environment::not_set(settings, &variable, &form))?);
            }
            return Ok(Self {
                urls,
                #[cfg(feature = "local")]
                local: None,
            });
        }
        #[cfg(feature = "local")]
        if settings.env == AppEnv::Development {
            let local = crate::local::Local::start(settings, names).await?;
            return Ok(Self { urls: local.queue_urls.clone(), local: Some(local) });
        }
        let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{}", names[0]);
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

/// `QUEUE_URL_ORDERS_FIFO` for `orders.fifo`.
fn queue_variable(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("QUEUE_URL_{}", letters.collect::<String>())
}

fn banner(
    identity: &Identity,
    database: &Database,
    passed: Passed,
    queue_urls: &[String],
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
    ];
    lines.extend(queue_urls.iter().map(|url| format!("  queue     {url}")));
    lines.push(String::new());
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
