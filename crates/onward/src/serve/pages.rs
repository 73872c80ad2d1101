//! The console, where the build has it.

#[cfg(feature = "console")]
use std::sync::Arc;

use axum::Router;
#[cfg(feature = "console")]
use tokio_util::task::AbortOnDropHandle;

use crate::config::context::Context;
#[cfg(feature = "console")]
use crate::config::settings::AppEnv;
#[cfg(feature = "console")]
use crate::console;
use crate::process::exit::CommandError;
#[cfg(feature = "console")]
use crate::process::terminal::data;

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

/// The console while the app works.
pub(super) struct Pages {
    #[cfg(feature = "console")]
    site: Arc<console::Site>,
    #[cfg(feature = "console")]
    _sampling: AbortOnDropHandle<()>,
}

#[cfg(feature = "console")]
impl Pages {
    /// Opens the console. A development launch prints where.
    pub(super) fn open(parts: console::SiteParts) -> Result<Self, CommandError> {
        let is_launch = parts.context.settings.env == AppEnv::Development;
        let site = console::Site::new(parts);
        if is_launch {
            data(&format!("Watch it in a browser:\n  {}\n", site.link()))?;
        }
        let sampling = AbortOnDropHandle::new(tokio::spawn(site.clone().sample()));
        Ok(Self { site, _sampling: sampling })
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
    pub(super) fn routes(&self) -> Router {
        Router::new()
    }

    pub(super) async fn end(self) {}
}
