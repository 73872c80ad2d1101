//! The first steps of `serve` and of the app's own commands, and what both do at the end.

use std::time::Duration;

use aws_sdk_sqs::Client;
use onward_migrate::DatabaseUrl;
use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::queues::ResolvedQueues;
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::config::sqs::client;
use crate::database::Database;
use crate::database::errors::causes;
use crate::handler::work::{Setup, SetupFn, StopFn, Work};
use crate::process::exit::CommandError;
#[cfg(feature = "local")]
use crate::process::exit::Exit;
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
    Database::open(url, &context.identity.name, &work.options, connections)
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
    names: &[&'static str],
    queues: &ResolvedQueues,
) -> Result<Ready<S>, CommandError> {
    let client = client(&queues.urls[0], queues.is_local).await?;
    let known = names.iter().map(ToString::to_string).zip(queues.urls.clone());
    let addresses = Addresses::new(client.clone(), known);
    let producer = Producer::new(addresses.clone());
    let given = Setup { database: database.clone(), echo_url: queues.echo_url.clone(), producer };
    let state = setup(given).await.map_err(|error| CommandError::of_setup(causes(&*error)))?;
    Ok(Ready { client, addresses, state })
}

/// Lets the app close what it has opened.
pub(super) async fn end_of_app<S>(on_stop: Option<StopFn<S>>, state: S) {
    if let Some(on_stop) = on_stop
        && tokio::time::timeout(MOST_FOR_APP, on_stop(state)).await.is_err()
    {
        tracing::warn!("what the app does at the stop did not end in time");
    }
}
