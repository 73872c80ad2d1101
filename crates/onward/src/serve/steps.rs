//! The first steps of `serve` and of the app's own commands, and what both do at the end.

use std::time::Duration;

use aws_sdk_sqs::Client;
use onward_migrate::DatabaseUrl;
use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::destinations::Destinations;
use crate::config::permissions::{self, Refused};
use crate::config::queues::{Names, ResolvedQueues};
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::config::sqs::client;
use crate::database::Database;
use crate::database::errors::causes;
use crate::handler::state::AnyState;
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
pub(super) fn open(context: &Context, url: &DatabaseUrl, work: &Work) -> Result<Database, CommandError> {
    let connections = work.queues.iter().map(|queue| queue.options.concurrency).sum();
    let database = Database::open(url, &context.identity.name, &work.options, connections)?;
    Ok(database.sending_to(Destinations::new(work.names().all())))
}

/// What the handlers need.
pub(super) struct Ready {
    pub client: Client,
    pub addresses: Addresses,
    pub state: AnyState,
}

/// Runs the app's set-up.
pub(super) async fn ready(
    setup: SetupFn,
    database: &Database,
    names: &Names,
    queues: &ResolvedQueues,
) -> Result<Ready, CommandError> {
    let client = client(&queues.urls[0], queues.is_local).await?;
    let known = names.worked.iter().map(ToString::to_string).zip(queues.urls.clone());
    let sent_to: Vec<_> = if queues.is_local {
        // They were made just now.
        queues.sent_to.clone()
    } else {
        let looked_up = names.sent_to.iter().map(|name| find(&client, name, queues));
        futures_util::future::try_join_all(looked_up).await?.into_iter().flatten().collect()
    };
    let addresses = Addresses::new(client.clone(), known.chain(sent_to));
    let producer = Producer::new(addresses.clone(), database.destinations.clone());
    let given = Setup { database: database.clone(), echo_url: queues.echo_url.clone(), producer };
    let state = setup(given).await.map_err(|error| CommandError::of_setup(causes(&*error)))?;
    Ok(Ready { client, addresses, state })
}

/// The name and the URL of a queue to which the app sends. An outage ends no start: the outbox and the producer look the queue up again.
async fn find(
    client: &Client,
    name: &str,
    queues: &ResolvedQueues,
) -> Result<Option<(String, String)>, CommandError> {
    let configured = queues.sent_to.iter().find(|(known, _)| known == name).map(|(_, url)| url.clone());
    match permissions::destination(client, name, configured.clone()).await {
        Ok(url) => Ok(Some((name.to_owned(), url))),
        Err(Refused { may_pass: true, error }) => {
            tracing::warn!(reason = %error.message, "a queue to which the app sends does not answer at present");
            Ok(configured.map(|url| (name.to_owned(), url)))
        }
        Err(Refused { error, .. }) => Err(error),
    }
}

/// Lets the app close what it has opened.
pub(super) async fn end_of_app(on_stop: Option<StopFn>, state: AnyState) {
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
        let client = client(&url, true).await.expect("a client is made");
        let configured = |name: &str, url: &str| {
            let names = Names { worked: Vec::new(), sent_to: vec!["audits"] };
            let mut queues = ResolvedQueues::of_test(&names, vec![url.to_owned()], String::new());
            queues.sent_to[0].0 = name.to_owned();
            queues
        };
        let none = configured("another", &url);
        let found = find(&client, "audits", &none).await.expect("is there");
        assert_eq!(found, Some(("audits".to_owned(), url.clone())));
        let error = find(&client, "audit", &none).await.expect_err("is not there");
        assert_eq!(error.exit, Exit::Queue);
        assert!(error.message.starts_with("the app sends to the queue `audit`, and cannot: "), "{error}");
        assert_eq!(error.help, "create it, or set QUEUE_URL_AUDIT to its URL");

        // A variable that names a queue which is not there is no better than none.
        let wrong = configured("audits", &url.replace("audits", "audit"));
        let error = find(&client, "audits", &wrong).await.expect_err("is not there");
        assert!(error.help.starts_with("correct QUEUE_URL_AUDITS, which is "), "{}", error.help);

        // A server that is away says nothing about the queue.
        drop(server);
        assert_eq!(find(&client, "audits", &none).await.expect("an outage ends no start"), None);
        let known = find(&client, "audits", &configured("audits", &url)).await;
        assert_eq!(known.expect("an outage ends no start"), Some(("audits".to_owned(), url)));
    }
}
