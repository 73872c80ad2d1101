//! One dead letter, with all that is known of it.

use std::sync::Arc;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use onward_worker::REJECTED;
use serde::de::IgnoredAny;

use crate::console::actions::Kind;
use crate::console::json::indented;
use crate::console::links::link;
use crate::console::page::{NO_QUEUE, Name, Visit, not_found, page, refusal, rows};
use crate::console::queue::QueueSite;
use crate::console::site::Site;
use crate::letters::letter::{self, shown_time};

/// The longest body on a page, in bytes; the rest can be downloaded.
const LONGEST_BODY: usize = 256 * 1024;

const GONE: &str = "This letter is gone, or was not among those that were looked at.";

/// `GET /console/dead/{queue}/letter`: all that is known of one.
pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    let Some(letter) = seen(queue, &visit) else { return not_found(&site, GONE) };
    let id = letter::identity(&letter);
    let content = html! {
        @if visit.may_act() { p { @for kind in [Kind::Redrive, Kind::Delete] {
            a.button href=(link(&name, "/confirm", &[("action", kind.word()), ("id", id)])) { (kind.label()) } " "
        } } }
        (about(&letter))
        h2 { "Attributes" }
        (attributes(&site, &letter))
        h2 { "Body" }
        (body(&site, &name, &letter))
    };
    page(&site, &visit, "A dead letter", content)
}

fn seen(queue: &QueueSite, visit: &Visit) -> Option<Message> {
    queue.letters.seen(visit.query.get("letter")?)
}

fn about(letter: &Message) -> Markup {
    let rejected = letter::rejected(letter).unwrap_or_default();
    let text = |key: &str| match &rejected[key] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let ms = |key: &str| rejected[key].as_u64().map(shown_time);
    rows([
        ("message", Some(letter::identity(letter).to_owned())),
        ("reason", letter::reason(letter)),
        ("queue", letter::source(letter)),
        ("group", letter::system(letter, &System::MessageGroupId)),
        ("attempts", text("attempts")),
        ("receives", text("receives")),
        ("first received", ms("first_ms")),
        ("given up", ms("last_ms")),
        ("by", text("node").map(|node| format!("{node}, version {}", text("version").unwrap_or_default()))),
        ("sent to the dead letters", letter::ms(letter, &System::SentTimestamp).map(shown_time)),
    ])
}

fn attributes(site: &Site, letter: &Message) -> Markup {
    let mut all: Vec<_> =
        letter.message_attributes().into_iter().flatten().filter(|(name, _)| *name != REJECTED).collect();
    all.sort_by_key(|(name, _)| *name);
    html! {
        @if all.is_empty() { p { "The sender wrote none." } }
        @else { dl.rows { @for (name, value) in all {
            @let bytes = value.binary_value().map_or(0, |bytes| bytes.as_ref().len());
            div {
                dt { (name) " (" (value.data_type()) ")" }
                dd { @match value.string_value() {
                    Some(text) if site.options.shows_bodies => code { (text) },
                    Some(text) => { (text.len()) " bytes" },
                    None => { (bytes) " bytes" },
                } }
            }
        } } }
    }
}

fn body(site: &Site, name: &str, letter: &Message) -> Markup {
    let body = letter.body().unwrap_or_default();
    if !site.options.shows_bodies {
        return html! { p { (body.len()) " bytes, which CONSOLE_BODIES=off hides." } };
    }
    let pretty = serde_json::from_str::<IgnoredAny>(body).is_ok().then(|| indented(body));
    let text = pretty.as_deref().unwrap_or(body);
    let shown = &text[..text.floor_char_boundary(LONGEST_BODY)];
    html! {
        pre tabindex="0" role="region" aria-label="Body" { (shown) }
        @if shown.len() < text.len() { p { "The body goes on: it has " (body.len()) " bytes." } }
        p { a href=(link(name, "/body", &[("letter", letter.message_id().unwrap_or_default())])) download { "Download the body" } }
    }
}

/// `GET /console/dead/{queue}/body`: the body as it is, never as a page.
pub(super) async fn download(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    if !site.options.shows_bodies {
        return refusal(&site, StatusCode::FORBIDDEN, "CONSOLE_BODIES=off hides the bodies of messages.", "");
    }
    let Some(letter) = seen(queue, &visit) else { return not_found(&site, GONE) };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=body.txt"),
    ];
    (headers, letter.body.unwrap_or_default()).into_response()
}
