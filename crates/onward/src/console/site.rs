use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use onward_migrate::{DatabaseUrl, Session};
use tokio::sync::Mutex;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::checks::{Check, Whole, Worked};
use crate::config::context::Context;
use crate::config::settings::AppEnv;
use crate::console::actions::Actions;
use crate::console::options::{ConsoleOptions, Token};
use crate::console::queue::QueueSite;
use crate::console::schema::Schema;
use crate::console::sessions::Sessions;
use crate::console::stored::Stored;
use crate::database::Database;
use crate::schedule::table::{LastRun, Schedule};
use crate::telemetry::known::Known;
use crate::telemetry::log::LogView;

/// What all pages show, and what they keep between two looks.
pub(crate) struct Site {
    pub(super) context: Context,
    pub(super) options: ConsoleOptions,
    pub(super) url: DatabaseUrl,
    pub(super) queues: Vec<Arc<QueueSite>>,
    pub(super) stored: Stored,
    pub(super) log: Option<LogView>,
    pub(super) example: Option<&'static str>,
    pub(super) address: SocketAddr,
    pub(super) began: Instant,
    /// What `doctor` needs to know of the app.
    pub(super) whole: Whole,
    pub(super) sessions: Sessions,
    pub(super) actions: Actions,
    /// The name and the times of each periodic job.
    pub(super) jobs: Vec<(&'static str, &'static str)>,
    pub(super) schedule: Schedule,
    pub(super) runs: Mutex<Known<Vec<LastRun>>>,
    pub(super) schema: Mutex<Known<Schema>>,
    pub(super) checks: Mutex<Known<Vec<Check>>>,
    /// Ends the pages that are open.
    pub(super) stop: CancellationToken,
}

/// What the app brings.
pub(crate) struct SiteParts {
    pub context: Context,
    pub options: ConsoleOptions,
    pub url: DatabaseUrl,
    pub queues: Vec<Arc<QueueSite>>,
    pub database: Database,
    pub whole: Whole,
    pub jobs: Vec<(&'static str, &'static str)>,
    pub log: Option<LogView>,
    pub example: Option<&'static str>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
}

impl Site {
    pub(crate) fn new(parts: SiteParts) -> Arc<Self> {
        let SiteParts { context, options, url, queues, database, whole, jobs, log, example, address, stop } =
            parts;
        Arc::new(Self {
            context,
            options,
            url,
            queues,
            schedule: Schedule::of(&database),
            jobs,
            runs: Mutex::default(),
            stored: Stored::new(database, whole.has_outbox),
            whole,
            log,
            example,
            address,
            began: Instant::now(),
            sessions: Sessions::default(),
            actions: Actions::default(),
            schema: Mutex::default(),
            checks: Mutex::default(),
            stop,
        })
    }

    pub(super) fn is_development(&self) -> bool {
        self.context.settings.env == AppEnv::Development
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Arc<QueueSite>> {
        self.queues.iter().find(|queue| queue.watched.queue == name)
    }

    /// A session with the database that only reads.
    pub(super) async fn session(&self) -> Result<Session, String> {
        let connected = Session::connect(&self.url, &self.context.reading("console")).await;
        connected.map_err(|error| error.message)
    }

    /// What `doctor` needs to know of the queues.
    pub(super) fn worked(&self) -> Vec<Worked> {
        let worked =
            |queue: &Arc<QueueSite>| (queue.watched.queue, queue.options.clone(), queue.origins.clone());
        self.queues.iter().map(worked).collect()
    }

    /// Where a person opens it: with the token that a development launch prints.
    pub(crate) fn link(&self) -> String {
        let token = match &self.options.token {
            Token::Printed { text, .. } => format!("?token={text}"),
            Token::None | Token::Configured(_) => String::new(),
        };
        let mut address = self.address;
        // One that means every address of the machine is none that a browser can open.
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}/console{token}")
    }

    /// Waits for the actions that run.
    pub(crate) async fn end(&self) {
        self.actions.end().await;
    }

    /// Samples what the plots show, and frees what nobody looks at any more, until the app stops.
    pub(crate) async fn sample(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_secs(1));
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            for queue in &self.queues {
                queue.samples.take(&queue.watched.monitor);
                queue.letters.free_old();
            }
        }
    }
}
