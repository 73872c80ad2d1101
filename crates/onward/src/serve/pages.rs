//! The console, where the build has it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use onward_migrate::DatabaseUrl;
use onward_worker::Options;
use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
#[cfg(feature = "console")]
use crate::config::settings::AppEnv;
#[cfg(feature = "console")]
use crate::console;
use crate::database::Database;
use crate::handler::breaker::PausedKeys;
use crate::letters::backlog::Counted;
use crate::options::Origins;
use crate::process::exit::CommandError;
#[cfg(feature = "console")]
use crate::process::terminal::data;
use crate::telemetry::log::LogView;
use crate::telemetry::metrics::Watched;

/// How the console is configured; nothing where the build does not have it.
#[cfg(feature = "console")]
pub(crate) type PagesOptions = console::ConsoleOptions;
#[cfg(not(feature = "console"))]
pub(crate) type PagesOptions = std::convert::Infallible;

/// Reads how the environment configures the console. None if there is none.
#[cfg(feature = "console")]
pub(super) fn options(context: &Context) -> Result<Option<PagesOptions>, CommandError> {
    PagesOptions::from_environment(context.settings.env)
}

#[cfg(not(feature = "console"))]
#[expect(clippy::unnecessary_wraps, reason = "a build with the console can fail here")]
pub(super) const fn options(_: &Context) -> Result<Option<PagesOptions>, CommandError> {
    Ok(None)
}

/// A queue on the pages.
#[cfg_attr(not(feature = "console"), expect(dead_code, reason = "only the console reads it"))]
pub(super) struct ShownQueue {
    pub watched: Watched,
    pub counted: Arc<Counted>,
    pub options: Options,
    pub origins: Origins,
    pub paused: Vec<PausedKeys>,
}

/// What the pages show.
#[cfg_attr(not(feature = "console"), expect(dead_code, reason = "only the console reads it"))]
pub(super) struct Shown<'a> {
    pub context: &'a Context,
    pub url: &'a DatabaseUrl,
    pub queues: Vec<ShownQueue>,
    pub database: Database,
    pub has_outbox: bool,
    pub jobs: Vec<(&'static str, &'static str)>,
    pub log: Option<LogView>,
    pub example: Option<&'static str>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
}

/// The console while the app works.
pub(super) struct Pages {
    #[cfg(feature = "console")]
    site: Arc<console::Site>,
    #[cfg(feature = "console")]
    _sampling: tokio_util::task::AbortOnDropHandle<()>,
}

#[cfg(feature = "console")]
impl Pages {
    /// Opens the console. A development launch prints where.
    pub(super) fn open(options: PagesOptions, shown: Shown<'_>) -> Result<Self, CommandError> {
        let Shown { context, url, queues, database, has_outbox, jobs, log, example, address, stop } = shown;
        let queues = queues.into_iter().map(|ShownQueue { watched, counted, options, origins, paused }| {
            console::QueueSite {
                watched,
                counted,
                options,
                origins,
                paused,
                letters: console::Letters::default(),
            }
        });
        let queues = queues.map(Arc::new).collect();
        let site = console::Site::new(console::SiteParts {
            context: context.clone(),
            options,
            url: url.clone(),
            queues,
            database,
            has_outbox,
            jobs,
            log,
            example,
            address,
            stop,
        });
        if context.settings.env == AppEnv::Development {
            data(&format!("Watch it in a browser:\n  {}\n", site.link()))?;
        }
        let sampling = tokio::spawn(site.clone().sample());
        Ok(Self { site, _sampling: tokio_util::task::AbortOnDropHandle::new(sampling) })
    }

    pub(super) fn routes(&self) -> Router {
        console::routes(self.site.clone())
    }

    /// Waits until what somebody has begun on a page has given back what it holds.
    pub(super) async fn end(self) {
        self.site.end().await;
    }
}

#[cfg(not(feature = "console"))]
impl Pages {
    pub(super) const fn open(options: PagesOptions, _: Shown<'_>) -> Result<Self, CommandError> {
        match options {}
    }

    pub(super) fn routes(&self) -> Router {
        Router::new()
    }

    pub(super) async fn end(self) {}
}
