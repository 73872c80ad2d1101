//! The page of a redrive or a deletion: its progress, and what came of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use crate::console::actions::{Action, Kind, Progress};
use crate::console::live::{Next, events, live};
use crate::console::page::{Visit, duration, not_found, page};
use crate::console::site::Site;

const GONE: &str = "There is no such action since the app started.";

pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit, Path(number): Path<usize>) -> Response {
    let Some(action) = site.actions.of(number) else { return not_found(&site, GONE) };
    let title =
        format!("{} of {}", if action.kind == Kind::Redrive { "Redrive" } else { "Deletion" }, action.queue);
    page(&site, &visit, &title, live(&format!("/console/actions/{number}/events"), &progress(&action)))
}

pub(super) async fn follow(State(site): State<Arc<Site>>, Path(number): Path<usize>) -> Response {
    let Some(action) = site.actions.of(number) else { return not_found(&site, GONE) };
    events(site, move |_| {
        let action = action.clone();
        async move {
            let next = if action.progress().ended.is_some() { Next::End } else { Next::Follows };
            (progress(&action), next)
        }
    })
}

fn progress(action: &Action) -> Markup {
    let Progress { done, again, left, ended } = action.progress();
    html! {
        p { "For " (action.selection) ", begun by " (action.who) ", " (duration(action.began.elapsed())) " ago." }
        p.result { (sentence(action.kind, done, again, left)) }
        @match &ended {
            None => p { "It runs." },
            Some(Ok(())) => {
                p { "It has ended." }
                @if action.kind == Kind::Redrive {
                    p { "A message that fails again later is a dead letter again, with its new reason." }
                }
            },
            Some(Err(error)) => p.problem { "It has ended with an error: " (error) },
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
