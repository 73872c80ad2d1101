//! The worker from launch to exit: database, gate, queues, set-up, work, ledger.

mod banner;
pub(crate) mod command;
mod gate;
mod health;
mod http;
mod metrics;
mod notify;
mod pages;
mod steps;
mod workers;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use onward_migrate::DatabaseUrl;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

#[cfg(feature = "console")]
use crate::checks::Whole;
use crate::config::context::Context;
use crate::config::identity::host_name;
use crate::config::queues::ResolvedQueues;
use crate::config::settings::AppEnv;
#[cfg(feature = "console")]
use crate::console::SiteParts;
use crate::database::Database;
use crate::handler::work::Work;
use crate::inbox::pruning::Pruning;
use crate::outbox::Outbox;
use crate::outbox::relay::Relay;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::{Reload, Stop};
use crate::queue::addresses::Addresses;
use crate::schedule::run::{Jobs, Node};
use crate::schedule::table::Schedule;
use crate::telemetry::log::{LogLevels, LogView};
use crate::telemetry::metrics::Watched;

use self::http::Endpoint;
use self::metrics::Metrics;
use self::pages::Pages;
pub(crate) use self::pages::PagesOptions;
use self::steps::{Ready, end_of_app, enter, open, ready};
use self::workers::{Prepared, Workers};

/// Serves until a request to stop; a second request ends the process at once.
pub(crate) async fn run(context: &Context, work: Work, log: LogView) -> Result<Exit, CommandError> {
    // When a person closes the terminal, the app and its private servers must end too.
    let in_terminal = context.settings.env == AppEnv::Development || std::io::stderr().is_terminal();
    let signals = Stop::listen(in_terminal)?;
    let _reloading = match in_terminal {
        true => None,
        false => Some(AbortOnDropHandle::new(tokio::spawn(reload(Reload::listen()?, log.levels.clone())))),
    };
    let stop = CancellationToken::new();
    tokio::select! {
        exit = serve(context, work, log, stop.clone()) => exit,
        () = signals.requested_twice(&stop) => Ok(Exit::Interrupted),
    }
}

async fn reload(mut requests: Reload, levels: LogLevels) {
    loop {
        requests.requested().await;
        levels.reload();
    }
}

/// The step order of `serve`.
async fn serve(
    context: &Context,
    work: Work,
    log: LogView,
    stop: CancellationToken,
) -> Result<Exit, CommandError> {
    let names = work.names();
    let Some((resolved, passed)) = enter(context, &stop).await? else { return Ok(stopped_early()) };
    let queues = ResolvedQueues::resolve(&context.settings, &names).await?;
    if context.settings.env == AppEnv::Development {
        banner::show(context, &resolved, passed, &queues.urls, work.example)?;
    }
    let place = Place {
        url: &resolved.url,
        schema: passed.now,
        queues: &queues,
        log: Some(log),
        pages: pages::options(context)?,
    };
    work_at(context, work, place, stop, None).await
}

/// What `serve` would refuse before it looks at the database and the queues.
pub(crate) fn wrong_settings(context: &Context) -> Vec<CommandError> {
    let address = http::address(context.settings.http_addr.as_deref()).map(|_| ());
    [address, pages::options(context).map(|_| ())].into_iter().filter_map(Result::err).collect()
}

/// Told when everything is set up: the address of health and metrics, if they are served.
pub(crate) type Started = oneshot::Sender<Option<SocketAddr>>;

/// Where the app works.
pub(crate) struct Place<'a> {
    pub url: &'a DatabaseUrl,
    /// The number of the schema, which has passed the gate.
    pub schema: i32,
    pub queues: &'a ResolvedQueues,
    pub log: Option<LogView>,
    pub pages: Option<PagesOptions>,
}

/// Works the queues on a database whose schema has passed the gate.
pub(crate) async fn work_at(
    context: &Context,
    work: Work,
    place: Place<'_>,
    stop: CancellationToken,
    started: Option<Started>,
) -> Result<Exit, CommandError> {
    let Place { url, schema, queues, log, pages } = place;
    #[cfg(not(feature = "console"))]
    drop(log);
    let names = work.names();
    let grace = work.queues.iter().map(|queue| queue.options.grace).max().unwrap_or_default();
    let database = open(context, url, &work)?;
    let readied = async {
        let Ready { client, addresses, state } = ready(work.setup, &database, &names, queues).await?;
        let prepared = workers::prepare(work.queues, queues, client, &context.identity).await?;
        Ok::<_, CommandError>((addresses, state, prepared))
    };
    let Some((addresses, state, prepared)) = stop.run_until_cancelled(readied).await.transpose()? else {
        return Ok(stopped_early());
    };
    let watched: Vec<_> = prepared.iter().map(|Prepared { watched, .. }| watched.clone()).collect();
    let metrics = Metrics {
        identity: context.identity.clone(),
        schema: Arc::new(AtomicI32::new(schema)),
        watched: watched.clone(),
        queues: prepared.iter().map(|Prepared { counted, .. }| counted.clone()).collect(),
        outbox: work.has_outbox.then(|| Outbox::of(&database)),
    };
    let schema = metrics.schema.clone();

    // Ends the polls: after a request to stop, when the schema becomes too new, or when another queue fails.
    let drain = stop.child_token();
    let endpoint = Endpoint::open(context.settings.http_addr.as_deref(), work.routes.is_some()).await?;
    let address = endpoint.as_ref().map(|endpoint| endpoint.address);
    #[cfg(feature = "console")]
    let pages = match (pages, address) {
        (Some(options), Some(address)) => {
            let queues =
                prepared.iter().zip(work.origins.queues).map(|(prepared, origins)| prepared.shown(origins));
            Some(Pages::open(SiteParts {
                context: context.clone(),
                options,
                url: url.clone(),
                queues: queues.collect(),
                database: database.clone(),
                whole: Whole {
                    sends_to: names.sent_to,
                    has_outbox: work.has_outbox,
                    options: work.options.clone(),
                    origins: work.origins.app,
                },
                jobs: work.jobs.iter().map(|job| (job.name, job.times)).collect(),
                log,
                example: work.example,
                address,
                stop: drain.clone(),
            })?)
        }
        _ => None,
    };
    #[cfg(not(feature = "console"))]
    let pages: Option<Pages> = pages.map(|none| match none {});
    let http = endpoint.map(|endpoint| {
        let mut routes = health::routes(metrics, drain.clone());
        if let Some(pages) = &pages {
            routes = routes.merge(pages.routes());
        }
        match work.routes {
            Some(own) => endpoint.serve(routes.fallback_service(own(state.clone()))),
            None => endpoint.serve(routes),
        }
    });
    observe(&watched);
    let _manager = AbortOnDropHandle::new(tokio::spawn(notify::run(watched, drain.clone(), grace)));
    let relaying = CancellationToken::new();
    let relay = match work.has_outbox {
        true => Some(tokio::spawn(relay(&database, addresses).run(relaying.clone()))),
        false => None,
    };
    let wake = database.wake.clone();
    let _watch = (!work.has_outbox).then(|| AbortOnDropHandle::new(tokio::spawn(unpublished(wake))));

    let begun = async {
        let pruning = match work.options.inbox_retention {
            Duration::ZERO => None,
            age => {
                let pruning = Pruning::new(&database, age, drain.clone()).await?;
                Some(AbortOnDropHandle::new(tokio::spawn(pruning.run())))
            }
        };
        let jobs = match work.jobs.is_empty() {
            true => None,
            false => {
                let schedule = Schedule::of(&database);
                let (state, classify, stop) = (state.clone(), work.classify.clone(), drain.clone());
                let node = Node { name: node_name(), schedule, state, classify, grace, stop };
                Some(Jobs::start(work.jobs, node).await?)
            }
        };
        Ok::<_, CommandError>((pruning, jobs))
    };
    // After a request to stop the workers end as soon as they begin.
    let (_pruning, jobs) = stop.run_until_cancelled(begun).await.transpose()?.unwrap_or_default();
    let folder = context.settings.state_directory.as_deref();
    if let Some(started) = started {
        // Whoever waited for it may have gone.
        let _ = started.send(address);
    }
    let workers = Workers::start(prepared, &state, &database, work.classify.as_ref(), folder, &drain);
    let outcome = workers.until_all_end(gate::until_outdated(context, url, &schema), &drain).await;
    if let Some(jobs) = jobs {
        jobs.end().await;
    }
    relaying.cancel();
    end_relay(relay).await;
    end_of_app(work.on_stop, state).await;
    if let Some(pages) = pages {
        pages.end().await;
    }
    if let Some(http) = http {
        http.end().await;
    }
    outcome
}

/// Nothing has begun that would have to end.
fn stopped_early() -> Exit {
    tracing::info!("a request to stop ended the start; no message was received");
    Exit::Done
}

/// The name of this process in the table of the jobs, by which it knows its runs. Containers may share the name of a host, and each begins with
/// process 1.
fn node_name() -> String {
    format!("{}:{}:{:04x}", host_name(), std::process::id(), fastrand::u16(..))
}

#[cfg(feature = "otel")]
fn observe(watched: &[Watched]) {
    crate::telemetry::otel::observe(watched);
}

#[cfg(not(feature = "otel"))]
fn observe(_: &[Watched]) {}

fn relay(database: &Database, addresses: Addresses) -> Relay {
    Relay::new(Outbox::of(database), addresses, database.wake.clone())
}

/// Says once that a handler has written to the outbox of an app that does not publish it. Another app may do so.
async fn unpublished(wake: Arc<Notify>) {
    wake.notified().await;
    tracing::warn!(
        "a handler has sent a message by its transaction, and this app does not publish its outbox: call `App::outbox`, unless another app \
         publishes it"
    );
}

async fn end_relay(relay: Option<JoinHandle<()>>) {
    if let Some(relay) = relay
        && let Err(error) = relay.await
    {
        tracing::error!(%error, "the task that publishes the outbox failed");
    }
}
