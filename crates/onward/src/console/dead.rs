//! Dead letters: by reason, one by one, and what can be done with them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use onward_worker::{REJECTED, is_fifo};
use serde::de::IgnoredAny;
use url::form_urlencoded::Serializer;

use crate::console::actions::Kind;
use crate::console::form::Form;
use crate::console::json::indented;
use crate::console::letters::Looked;
use crate::console::page::{self, NO_QUEUE, Visit, duration, not_found, page, refusal};
use crate::console::progress::sentence;
use crate::console::queue::QueueSite;
use crate::console::site::Site;
use crate::letters::backlog::Known;
use crate::letters::groups::{Group, died_ms, groups, reason_group};
use crate::letters::letter::{self, shown_time};
use crate::letters::look::A_LOOK;
use crate::letters::selection::Selection;

/// How many letters a look receives, unless more are asked for.
const MOST: usize = 1_000;

/// How many it receives then.
const MORE: usize = 10_000;

/// How many letters a page has.
const PAGE: usize = 50;

/// How many characters of a body the list shows.
const PREVIEW: usize = 160;

/// The longest body on a page, in bytes; the rest can be downloaded.
const LONGEST_BODY: usize = 256 * 1024;

/// `GET /console/dead`
pub(super) async fn queues(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let known = futures_util::future::join_all(site.queues.iter().map(|queue| queue.counted.look())).await;
    let content = html! {
        table {
            thead { tr { th scope="col" { "queue" } th scope="col" { "dead letters" } } }
            tbody { @for (queue, known) in site.queues.iter().zip(&known) {
                tr {
                    td { a href={ "/console/dead/" (queue.watched.queue) } { (queue.watched.queue) } }
                    td { (count(known)) }
                }
            } }
        }
    };
    page(&site, &visit, "Dead letters", content)
}

fn count(known: &Known) -> String {
    match known.backlog.and_then(|backlog| backlog.dead) {
        Some(Some(dead)) => dead.all().to_string(),
        Some(None) => "no dead-letter queue".to_owned(),
        None => "not known".to_owned(),
    }
}

/// `GET /console/dead/{queue}`: the groups, or the letters of one group or of a search.
pub(super) async fn queue(State(site): State<Arc<Site>>, visit: Visit, Path(name): Path<String>) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    let max = if visit.query.get("more").is_some() { MORE } else { MOST };
    let title = format!("Dead letters of {name}");
    let running = site.actions.running(&name);
    let looked = match &running {
        Some(_) => Ok(queue.letters.last()),
        None => queue.letters.look(&queue.counted.queue, max, &site.actions.tasks).await.map(Some),
    };
    let (looked, problem) = match looked {
        Ok(looked) => (looked, None),
        Err(error) => (queue.letters.last(), Some(error)),
    };
    let content = html! {
        @if let Some(action) = &running {
            p.problem { "A " (action.kind.word()) " runs on this queue: " a href={ "/console/actions/" (action.number) } { "its progress" } "." }
        }
        (page::stale(problem.as_deref(), looked.as_ref().map(|looked| looked.at)))
        @if let Some(looked) = &looked { (letters(&site, queue, &visit, looked)) }
        (history(&site, &name))
    };
    page(&site, &visit, &title, content)
}

/// What was done on this queue since the start.
fn history(site: &Site, name: &str) -> Markup {
    let actions = site.actions.of_queue(name);
    html! {
        @if !actions.is_empty() {
            h2 { "Actions" }
            ul { @for action in &actions {
                @let progress = action.progress();
                li {
                    a href={ "/console/actions/" (action.number) } { (action.kind.word()) } " "
                    (duration(action.began.elapsed())) " ago: "
                    (sentence(action.kind, progress.done, progress.again, progress.left))
                }
            } }
        }
    }
}

/// Which letters a page shows.
enum View<'a> {
    Groups,
    Group(&'a str),
    Search(&'a str),
}

fn letters(site: &Site, queue: &QueueSite, visit: &Visit, looked: &Looked) -> Markup {
    let view = match (visit.query.get("group"), visit.query.get("search")) {
        (Some(group), _) => View::Group(group),
        (None, Some(text)) => View::Search(text),
        (None, None) => View::Groups,
    };
    let name = queue.watched.queue;
    html! {
        p {
            (looked.letters.len()) " letter(s) were looked at " (duration(looked.at.elapsed())) " ago, and given back at once; " (A_LOOK) "."
            @if looked.has_more {
                " There may be more."
                @if looked.max < MORE { " " a href={ "/console/dead/" (name) "?more=1" } { "Look at up to " (MORE) } }
            }
            @if looked.of_others > 0 { " " (looked.of_others) " more died in another queue, which shares the dead-letter queue." }
            @if is_fifo(&queue.counted.queue.url) { " A FIFO queue shows at most ten letters of a group." }
        }
        form.search method="get" {
            label for="search" { "Search in bodies and reasons" }
            input id="search" name="search" type="search" value=[visit.query.get("search")];
            @if visit.query.get("more").is_some() { input type="hidden" name="more" value="1"; }
            button { "Search" }
        }
        @match view {
            View::Groups => (of_groups(visit, name, &groups(looked.letters.iter()))),
            View::Group(group) => {
                h2 { (group) }
                (list(site, visit, name, looked, |letter| reason_group(letter) == group))
            },
            View::Search(text) => {
                h2 { "Letters with “" (text) "”" }
                (list(site, visit, name, looked, |letter| letter::contains(letter, text)))
            },
        }
    }
}

fn of_groups(visit: &Visit, name: &str, groups: &[Group]) -> Markup {
    html! {
        @if groups.is_empty() { p { "There is no dead letter." } }
        @else { div.scroll tabindex="0" role="region" aria-label="Groups of dead letters" { table {
            thead { tr {
                th scope="col" { "letters" } th scope="col" { "reason" } th scope="col" { "first" } th scope="col" { "last" }
                @if visit.may_act() { th scope="col" { "act on the group" } }
            } }
            tbody { @for group in groups {
                tr {
                    td { (group.letters) }
                    td { a href=(link(name, "", &kept(visit, &["more"], &[("group", &group.reason)]))) { (group.reason) } }
                    td { (time(group.first_ms)) } td { (time(group.last_ms)) }
                    @if visit.may_act() { td {
                        @for kind in [Kind::Redrive, Kind::Delete] {
                            a.button href=(link(name, "/confirm", &[("action", kind.word()), ("group", &group.reason)]))
                                aria-label={ (kind.label()) " the group " (group.reason) } { (kind.label()) }
                            " "
                        }
                    } }
                }
            } }
        } } }
        @if visit.may_act() && groups.len() > 1 {
            p { @for kind in [Kind::Redrive, Kind::Delete] {
                a.button href=(link(name, "/confirm", &[("action", kind.word()), ("all", "1")])) { (kind.label()) " all" } " "
            } }
        }
    }
}

fn list(site: &Site, visit: &Visit, name: &str, looked: &Looked, shows: impl Fn(&Message) -> bool) -> Markup {
    let all: Vec<_> = looked.letters.iter().filter(|letter| shows(letter)).collect();
    let pages = all.len().div_ceil(PAGE);
    let asked = visit.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(0_usize);
    let number = asked.min(pages.saturating_sub(1));
    let to_page = |number: usize| {
        link(name, "", &kept(visit, &["group", "search", "more"], &[("page", &number.to_string())]))
    };
    html! {
        p { (all.len()) " letter(s). " a href={ "/console/dead/" (name) } { "All groups" } }
        form method="get" action={ "/console/dead/" (name) "/confirm" } {
            div.scroll tabindex="0" role="region" aria-label="Dead letters" { table {
                thead { tr {
                    @if visit.may_act() { th scope="col" { "select" } }
                    th scope="col" { "message" } th scope="col" { "died" } th scope="col" { "reason" } th scope="col" { "body" }
                } }
                tbody { @for letter in all.iter().skip(number * PAGE).take(PAGE) {
                    @let id = letter::identity(letter);
                    tr {
                        @if visit.may_act() { td {
                            input type="checkbox" name="id" value=(id) aria-label={ "select " (id) };
                        } }
                        td { a href=(link(name, "/letter", &[("id", id)])) { code { (id) } } }
                        td { (time(died_ms(letter))) }
                        td { (letter::reason(letter).unwrap_or_default()) }
                        td { code { (preview(site, letter)) } }
                    }
                } }
            } }
            @if visit.may_act() && !all.is_empty() {
                p { @for kind in [Kind::Redrive, Kind::Delete] {
                    button name="action" value=(kind.word()) { (kind.label()) " the selected" } " "
                } }
            }
        }
        @if pages > 1 { nav aria-label="Pages" {
            @if number > 0 { a href=(to_page(number - 1)) { "Previous" } }
            span { "page " (number + 1) " of " (pages) }
            @if number + 1 < pages { a href=(to_page(number + 1)) { "Next" } }
        } }
    }
}

fn preview(site: &Site, letter: &Message) -> String {
    let body = letter.body().unwrap_or_default();
    if !site.options.shows_bodies {
        return format!("{} bytes", body.len());
    }
    let mut text: String = body.chars().take(PREVIEW).collect();
    if text.len() < body.len() {
        text.push('…');
    }
    text
}

fn time(ms: Option<u64>) -> String {
    ms.map_or_else(|| "?".to_owned(), shown_time)
}

/// The fields of this page's address that another page keeps, before its own.
fn kept<'a>(visit: &'a Visit, names: &[&'a str], own: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = names.iter().filter_map(|name| Some((*name, visit.query.get(name)?)));
    kept.chain(own.iter().copied()).collect()
}

/// A page of this queue.
fn link(name: &str, page: &str, query: &[(&str, &str)]) -> String {
    let query = Serializer::new(String::new()).extend_pairs(query).finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/console/dead/{name}{page}{mark}{query}")
}

const GONE: &str = "This letter is gone, or was not among those that were looked at.";

/// `GET /console/dead/{queue}/letter`: all that is known of one.
pub(super) async fn letter(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    let id = visit.query.get("id").unwrap_or_default();
    let Some(letter) = queue.letters.seen(id) else { return not_found(&site, GONE) };
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

fn about(letter: &Message) -> Markup {
    let rejected = letter::rejected(letter).unwrap_or_default();
    let text = |key: &str| match &rejected[key] {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let ms = |key: &str| rejected[key].as_u64().map(shown_time);
    let rows = [
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
    ];
    html! { dl.rows { @for (name, value) in rows { @if let Some(value) = value {
        div { dt { (name) } dd { (value) } }
    } } } }
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
        p { a href=(link(name, "/body", &[("id", letter::identity(letter))])) download { "Download the body" } }
    }
}

/// `GET /console/dead/{queue}/body`: the body as it is, never as a page.
pub(super) async fn download(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    if !site.options.shows_bodies {
        return refusal(&site, StatusCode::FORBIDDEN, "CONSOLE_BODIES=off hides the bodies of messages.", "");
    }
    let Some(letter) = queue.letters.seen(visit.query.get("id").unwrap_or_default()) else {
        return not_found(&site, GONE);
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=body.txt"),
    ];
    (headers, letter.body.unwrap_or_default()).into_response()
}

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
pub(super) async fn confirm(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(name): Path<String>,
) -> Response {
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
    Path(name): Path<String>,
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
