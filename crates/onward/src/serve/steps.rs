//! The first steps of `serve` and of the app's own commands, and what both do at the end.

use std::time::Duration;

use aws_sdk_sqs::Client;
use onward_migrate::DatabaseUrl;
use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::destinations::Destinations;
use crate::config::queues::{Names, ResolvedQueues, queue_variable};
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::config::sqs::client;
use crate::database::Database;
use crate::database::errors::causes;
use crate::handler::work::{Setup, SetupFn, StopFn, Work};
use crate::process::exit::{CommandError, Exit};
use crate::queue::addresses::Addresses;
use crate::queue::producer::Producer;
#[cfg(feature = "local")]
use crate::{drafts, scripts};

use super::gate::{self, Passed};

/// How long what the app itself does at the stop may take.
const MOST_FOR_APP: Duration = Duration::from_secs(10);

/// The database, whose schema has passed the gate. `None` if `stop` was cancelled before that.
pub(super) async fn enter(
    context: &Context,
    stop: &CancellationToken,
) -> Result<Option<(ResolvedDatabase, Passed)>, CommandError> {
    #[cfg(feature = "local")]
    refuse_stale(context)?;
    let resolved = ResolvedDatabase::resolve(context).await?;
    #[cfg(feature = "local")]
    drafts::prepare(context, &resolved).await?;
    let passed = gate::pass(context, &resolved.url, stop).await?;
    Ok(passed.map(|passed| (resolved, passed)))
}

/// A development launch runs the scripts that the developer sees.
#[cfg(feature = "local")]
fn refuse_stale(context: &Context) -> Result<(), CommandError> {
    let is_launch = context.settings.env == AppEnv::Development;
    let stale = || scripts::stale(&context.history, &context.settings.project);
    match is_launch.then(stale).flatten() {
        Some(message) => Err(CommandError::new(Exit::Failed, message, scripts::REBUILD)),
        None => Ok(()),
    }
}

/// Opens the app's connections to the database, one for each handler at the most.
pub(super) fn open<S>(
    context: &Context,
    url: &DatabaseUrl,
    work: &Work<S>,
) -> Result<Database, CommandError> {
    let connections = work.queues.iter().map(|queue| queue.options.concurrency).sum();
    let database = Database::open(url, &context.identity.name, &work.options, connections)?;
    Ok(database.sending_to(Destinations::new(work.names().all())))
}

/// What the handlers need.
pub(super) struct Ready<S> {
    pub client: Client,
    pub addresses: Addresses,
    pub state: S,
}

/// Runs the app's set-up.
pub(super) async fn ready<S>(
    setup: SetupFn<S>,
    database: &Database,
    names: &Names,
    queues: &ResolvedQueues,
) -> Result<Ready<S>, CommandError> {
    let client = client(&queues.urls[0], queues.is_local).await?;
    let known = names.worked.iter().map(ToString::to_string).zip(queues.urls.clone());
    let addresses = Addresses::new(client.clone(), known.chain(queues.sent_to.clone()));
    let looked_up = names.sent_to.iter().map(|name| find(&addresses, name));
    futures_util::future::try_join_all(looked_up).await?;
    let producer = Producer::new(addresses.clone(), database.destinations.clone());
    let given = Setup { database: database.clone(), echo_url: queues.echo_url.clone(), producer };
    let state = setup(given).await.map_err(|error| CommandError::of_setup(causes(&*error)))?;
    Ok(Ready { client, addresses, state })
}

/// Looks up a queue to which the app sends. An outage ends no start: the outbox and the producer look it up again.
async fn find(addresses: &Addresses, queue: &str) -> Result<(), CommandError> {
    match addresses.url(queue).await {
        Ok(_) => Ok(()),
        Err(error) if error.may_pass() => {
            tracing::warn!(queue, %error, "the queue to which the app sends cannot be looked up at present");
            Ok(())
        }
        Err(error) => {
            let message = format!("the queue `{queue}`, to which the app sends, cannot be found: {error}");
            let help = format!("create it, or set {} to its URL; {}", queue_variable(queue), error.help());
            Err(CommandError::new(Exit::Queue, message, help))
        }
    }
}

/// Lets the app close what it has opened.
pub(super) async fn end_of_app<S>(on_stop: Option<StopFn<S>>, state: S) {
    if let Some(on_stop) = on_stop
        && tokio::time::timeout(MOST_FOR_APP, on_stop(state)).await.is_err()
    {
        tracing::warn!("what the app does at the stop did not end in time");
    }
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use onward_local::LocalQueue;

    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_sent_to_is_there_before_the_work_begins() {
        let server = LocalQueue::start(0).await.expect("a port is free");
        let url = server.create("audits").await.expect("is created");
        let addresses = Addresses::new(client(&url, true).await.expect("a client is made"), []);
        find(&addresses, "audits").await.expect("is there");
        let error = find(&addresses, "audit").await.expect_err("is not there");
        assert_eq!(error.exit, Exit::Queue);
        assert!(
            error.message.starts_with("the queue `audit`, to which the app sends, cannot be found"),
            "{error}"
        );
        assert!(error.help.contains("create it, or set QUEUE_URL_AUDIT to its URL"), "{}", error.help);

        // A server that is away says nothing about the queue.
        drop(server);
        find(&addresses, "audit").await.expect("an outage ends no start");
    }
}
