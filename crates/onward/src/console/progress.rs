//! The page of a redrive or a deletion: its progress, and what came of it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use crate::console::actions::{Action, Kind, Progress};
use crate::console::form::Form;
use crate::console::live::{Next, events, live};
use crate::console::page::{Name, Visit, duration, not_found, page};
use crate::console::site::Site;

const GONE: &str = "There is no such action since the app started.";

pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit, Name(number): Name) -> Response {
    let Some(action) = find(&site, &number) else { return not_found(&site, GONE) };
    let title =
        format!("{} of {}", if action.kind == Kind::Redrive { "Redrive" } else { "Deletion" }, action.queue);
    page(&site, &visit, &title, live(&format!("/console/actions/{number}/events"), &progress(&action)))
}

pub(super) async fn follow(State(site): State<Arc<Site>>, visit: Visit, Name(number): Name) -> Response {
    let Some(action) = find(&site, &number) else { return not_found(&site, GONE) };
    events(site, visit, move |_| {
        let action = action.clone();
        async move {
            let next = if action.progress().ended.is_some() { Next::End } else { Next::Follows };
            (progress(&action), next)
        }
    })
}

/// `GET /console/actions/{number}/stop`: asks.
pub(super) async fn ask_to_stop(State(site): State<Arc<Site>>, visit: Visit, Name(number): Name) -> Response {
    let Some(action) = find(&site, &number) else { return not_found(&site, GONE) };
    let content = html! {
        p { "Stop it after its current batch? What was not done stays where it is." }
        form method="post" action={ "/console/actions/" (action.number) "/stop" } {
            (visit.csrf())
            button { "Stop" } " "
            a href={ "/console/actions/" (action.number) } { "Cancel" }
        }
    };
    page(&site, &visit, "Confirm", content)
}

/// `POST /console/actions/{number}/stop`
pub(super) async fn stop(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Name(number): Name,
    form: Form,
) -> Response {
    if let Err(refusal) = visit.require(&site, &form) {
        return *refusal;
    }
    let Some(action) = find(&site, &number) else { return not_found(&site, GONE) };
    tracing::info!(
        who = visit.visitor.name(),
        queue = action.queue,
        action = action.kind.word(),
        "console: an action is stopped"
    );
    action.stop.cancel();
    Redirect::to(&format!("/console/actions/{}", action.number)).into_response()
}

fn find(site: &Site, number: &str) -> Option<Arc<Action>> {
    site.actions.of(number.parse().ok()?)
}

fn progress(action: &Action) -> Markup {
    let Progress { done, again, left, elsewhere, ended } = action.progress();
    html! {
        p { "For " (action.selection) ", begun by " (action.who) ", " (duration(action.began.elapsed())) " ago." }
        p.result { (sentence(action.kind, done, again, left)) }
        @match &ended {
            None => {
                p { "It runs." }
                p { a href={ "/console/actions/" (action.number) "/stop" } { "Stop it" } }
            },
            Some(Ok(())) => {
                p { "It has ended." }
                @if action.kind == Kind::Redrive {
                    p { "A message that fails again later is a dead letter again, with its new reason." }
                }
            },
            Some(Err(error)) => p.problem { "It has ended with an error: " (error) },
        }
        @if ended.is_some() && elsewhere > 0 {
            p.problem {
                "SQS counts " (elsewhere) " letter(s) in flight, which this action has not seen: somebody looks at them or moves them."
            }
        }
        p { a href={ "/console/dead/" (action.queue) } { "The dead letters of " (action.queue) } }
    }
}

/// What was done, in a sentence.
pub(super) fn sentence(kind: Kind, done: usize, again: usize, left: usize) -> String {
    match kind {
        Kind::Redrive => format!("{done} sent; {again} died again meanwhile; {left} stay."),
        Kind::Delete => format!("{done} deleted; {left} stay."),
    }
}
