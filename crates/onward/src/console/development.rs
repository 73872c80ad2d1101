//! What only a development launch has: a form that sends a message, and the last lines of the log.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use onward_worker::is_fifo;

use crate::console::form::Form;
use crate::console::live::{Next, events, live};
use crate::console::page::{Visit, not_found, page, refusal};
use crate::console::site::Site;
use crate::letters::send::{Line, send};
use crate::queue::entry::Entry;

const NOT_HERE: &str = "Only a development launch has this page.";

/// `GET /console/send`
pub(super) async fn ask(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if !site.is_development() {
        return not_found(&site, NOT_HERE);
    }
    let content = form(&site, &visit, &Form::default(), html! {});
    page(&site, &visit, "Send a message", content)
}

/// `POST /console/send`
pub(super) async fn sent(State(site): State<Arc<Site>>, visit: Visit, given: Form) -> Response {
    if !site.is_development() {
        return not_found(&site, NOT_HERE);
    }
    if let Err(refusal) = visit.require(&site, &given) {
        return *refusal;
    }
    let Some(queue) = given.get("queue").and_then(|name| site.queue(name)) else {
        return refusal(
            &site,
            StatusCode::BAD_REQUEST,
            "The app does not work this queue.",
            "Choose one of the list.",
        );
    };
    let body = given.get("body").unwrap_or_default().replace("\r\n", "\n");
    let like = Entry { group: given.get("group"), ..Entry::default() };
    let mut ids = Vec::new();
    let mut sent = |id: &str| {
        ids.push(id.to_owned());
        Ok(())
    };
    let outcome = send(&queue.counted.queue, &[Line { number: 1, body }], like, &mut sent).await;
    if outcome.is_ok() {
        let who = visit.visitor.name();
        tracing::info!(who, queue = queue.watched.queue, id = ids.join(", "), "console: a message was sent");
    }
    queue.counted.forget().await;
    let said = match outcome {
        Ok(()) => html! { p.result role="status" { "Sent: " code { (ids.join(", ")) } } },
        Err(error) => html! { p.problem role="alert" { (error.message) "; " (error.help) } },
    };
    let content = form(&site, &visit, &given, said);
    page(&site, &visit, "Send a message", content)
}

fn form(site: &Site, visit: &Visit, given: &Form, said: Markup) -> Markup {
    let has_groups = site.queues.iter().any(|queue| is_fifo(&queue.counted.queue.url));
    html! {
        (said)
        @if visit.may_act() {
            form.send method="post" {
                (visit.csrf())
                label for="queue" { "Queue" }
                select id="queue" name="queue" { @for queue in &site.queues {
                    option selected[given.get("queue") == Some(queue.watched.queue)] { (queue.watched.queue) }
                } }
                @if has_groups {
                    label for="group" { "Group, for a FIFO queue" }
                    input id="group" name="group" value=[given.get("group")];
                }
                label for="body" { "Body" }
                textarea id="body" name="body" rows="12" required { (given.get("body").or(site.example).unwrap_or_default()) }
                button { "Send" }
            }
        } @else {
            p { "Open the address that the launch has printed: who may send must have its token." }
        }
    }
}

/// `GET /console/log`
pub(super) async fn log(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if !site.is_development() {
        return not_found(&site, NOT_HERE);
    }
    page(&site, &visit, "Log", live("/console/log/events", &lines(&site)))
}

/// `GET /console/log/events`
pub(super) async fn follow(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if !site.is_development() {
        return not_found(&site, NOT_HERE);
    }
    events(site, visit, |site| async move { (lines(&site), Next::Follows) })
}

fn lines(site: &Site) -> Markup {
    let lines =
        site.log.as_ref().and_then(|log| log.lines.as_ref()).map(crate::telemetry::log::LogLines::read);
    html! {
        @match lines {
            Some(lines) => pre.log tabindex="0" role="region" aria-label="The last lines of the log" { (lines.join("\n")) },
            None => p { "No lines are kept." },
        }
    }
}
