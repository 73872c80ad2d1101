//! Pages that change while they are open, by server-sent events.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use maud::{Markup, html};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::console::page::Visit;
use crate::console::site::Site;

/// How often an open page changes.
const INTERVAL: Duration = Duration::from_secs(2);

/// The part of a page that changes, and where its changes come from.
pub(super) fn live(source: &str, content: &Markup) -> Markup {
    html! {
        p.status role="status" data-status {}
        div data-live=(source) { (content) }
    }
}

/// Sends the content again and again, as long as it differs: until the app stops, the visitor's session ends, or the content says that
/// it is the last one.
pub(super) fn events<F, Fut>(site: Arc<Site>, visit: Visit, content: F) -> Response
where
    F: Fn(Arc<Site>) -> Fut + Send + 'static,
    Fut: Future<Output = (Markup, Next)> + Send,
{
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = Some((ticks, String::new(), content, site, visit));
    let changes = stream::unfold(state, |state| async {
        let (mut ticks, mut last, content, site, visit) = state?;
        loop {
            tick(&site, &mut ticks).await?;
            if visit.visitor.session.as_ref().is_some_and(|session| !site.sessions.holds(session)) {
                return None;
            }
            let (markup, next) = content(site.clone()).await;
            // An event cannot carry a carriage return.
            let text = markup.into_string().replace('\r', "&#13;");
            if text == last && next == Next::Follows {
                continue;
            }
            let event = Event::default().data(&text);
            last.clone_from(&text);
            return match next {
                Next::Follows => {
                    Some((Ok::<_, Infallible>(event), Some((ticks, last, content, site, visit))))
                }
                Next::End => Some((Ok(event.event("end")), None)),
            };
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::default()).into_response()
}

/// Whether a change follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Follows,
    End,
}

async fn tick(site: &Site, ticks: &mut Interval) -> Option<()> {
    site.stop.run_until_cancelled(ticks.tick()).await.map(|_| ())
}
