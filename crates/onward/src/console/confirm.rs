//! The question before a redrive or a deletion, and its beginning.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use crate::console::actions::Kind;
use crate::console::form::Form;
use crate::console::page::{NO_QUEUE, Name, Visit, not_found, page, refusal};
use crate::console::site::Site;
use crate::letters::selection::Selection;

/// Which letters a form or a link means. All of them only where it says so: an empty field must not mean everything.
fn selection(fields: &Form) -> Option<Selection> {
    let identities: HashSet<_> = fields.all("id").map(str::to_owned).collect();
    match (fields.get("group"), fields.get("all")) {
        (Some(group), _) => Some(Selection::Group(group.to_owned())),
        (None, _) if !identities.is_empty() => Some(Selection::Identities(identities)),
        (None, Some(_)) => Some(Selection::All),
        (None, None) => None,
    }
}

const NOTHING: &str = "No letter is selected.";

/// What a person is asked to confirm.
struct Question<'a> {
    kind: Kind,
    selection: &'a Selection,
    queue: &'a str,
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, selection, queue } = self;
        match kind {
            Kind::Redrive => write!(f, "Send {selection} back to {queue}?"),
            Kind::Delete => write!(f, "Delete {selection} of {queue} permanently?"),
        }
    }
}

/// `GET /console/dead/{queue}/confirm`
pub(super) async fn ask(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    let Some(kind) = visit.query.get("action").and_then(Kind::parse) else {
        return not_found(&site, "The address names no action.");
    };
    if !visit.may_act() {
        return refusal(&site, StatusCode::FORBIDDEN, "You may look, and not act.", "Log in with the token.");
    }
    let Some(selection) = selection(&visit.query) else {
        return refusal(&site, StatusCode::BAD_REQUEST, NOTHING, "Go back, and select some.");
    };
    let now = queue
        .letters
        .last()
        .map(|looked| looked.letters.iter().filter(|letter| selection.matches(letter)).count());
    let content = html! {
        p { (Question { kind, selection: &selection, queue: &name }) }
        @if let Some(now) = now {
            p {
                "Of the letters that were looked at it concerns " (now) "."
                @if !matches!(selection, Selection::Identities(_)) { " It also concerns those that come until it ends." }
            }
        }
        form method="post" action={ "/console/dead/" (name) "/act" } {
            (visit.csrf())
            input type="hidden" name="action" value=(kind.word());
            @match &selection {
                Selection::Group(group) => input type="hidden" name="group" value=(group);,
                Selection::Identities(identities) => @for id in identities { input type="hidden" name="id" value=(id); },
                Selection::All => input type="hidden" name="all" value="1";,
                Selection::Containing(_) => {},
            }
            button { (kind.label()) } " "
            a href={ "/console/dead/" (name) } { "Cancel" }
        }
    };
    page(&site, &visit, "Confirm", content)
}

/// `POST /console/dead/{queue}/act`
pub(super) async fn act(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Name(name): Name,
    form: Form,
) -> Response {
    if let Err(refusal) = visit.require(&site, &form) {
        return *refusal;
    }
    let (Some(queue), Some(kind)) = (site.queue(&name), form.get("action").and_then(Kind::parse)) else {
        return not_found(&site, NO_QUEUE);
    };
    let Some(selection) = selection(&form) else {
        return refusal(&site, StatusCode::BAD_REQUEST, NOTHING, "Go back, and select some.");
    };
    match site.actions.start(queue, kind, selection, visit.visitor.name(), &site.stop) {
        Ok(action) => Redirect::to(&format!("/console/actions/{}", action.number)).into_response(),
        Err(running) => {
            let why = format!("A {} runs on {name} already, begun by {}.", running.kind.word(), running.who);
            refusal(&site, StatusCode::CONFLICT, &why, "Wait until it has ended, then try again.")
        }
    }
}
