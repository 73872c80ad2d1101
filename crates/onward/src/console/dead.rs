//! Dead letters by reason, and the letters of a group or of a search.

use std::sync::Arc;

use aws_sdk_sqs::types::Message;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use onward_worker::is_fifo;

use crate::console::actions::Kind;
use crate::console::letters::Looked;
use crate::console::links::link;
use crate::console::page::{NO_QUEUE, Name, Visit, duration, not_found, page, stale_since, table};
use crate::console::progress::sentence;
use crate::console::queue::QueueSite;
use crate::console::site::Site;
use crate::letters::backlog::Backlog;
use crate::letters::groups::{Group, died_ms, groups, reason_group};
use crate::letters::letter::{self, shown_time};
use crate::letters::look::A_LOOK;
use crate::telemetry::known::Known;

/// How many letters a look receives, unless more are asked for.
const MOST: usize = 1_000;

/// How many it receives then.
const MORE: usize = 10_000;

/// How many letters a page has.
const PAGE: usize = 50;

/// How many characters of a body the list shows.
const PREVIEW: usize = 160;

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

fn count(known: &Known<Backlog>) -> String {
    match known.value().and_then(|backlog| backlog.dead) {
        Some(Some(dead)) => dead.all().to_string(),
        Some(None) => "no dead-letter queue".to_owned(),
        None => "not known".to_owned(),
    }
}

/// `GET /console/dead/{queue}`: the groups, or the letters of one group or of a search.
pub(super) async fn queue(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
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
        (stale_since(problem.as_deref(), looked.as_ref().map(|looked| looked.at)))
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
    let all = ["letters", "reason", "first", "last", "act on the group"];
    let columns = if visit.may_act() { &all[..] } else { &all[..4] };
    html! {
        @if groups.is_empty() { p { "There is no dead letter." } }
        @else { (table("Groups of dead letters", columns, html! {
            @for group in groups { tr {
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
            } }
        })) }
        @if visit.may_act() && groups.len() > 1 {
            p { @for kind in [Kind::Redrive, Kind::Delete] {
                a.button href=(link(name, "/confirm", &[("action", kind.word()), ("all", "1")])) { (kind.label()) " all" } " "
            } }
        }
    }
}

fn list(site: &Site, visit: &Visit, name: &str, looked: &Looked, shows: impl Fn(&Message) -> bool) -> Markup {
    let all: Vec<_> = looked.letters.iter().filter(|letter| shows(letter)).collect();
    let columns = ["select", "message", "died", "reason", "body"];
    let columns = if visit.may_act() { &columns[..] } else { &columns[1..] };
    let pages = all.len().div_ceil(PAGE);
    let asked = visit.query.get("page").and_then(|page| page.parse().ok()).unwrap_or(0_usize);
    let number = asked.min(pages.saturating_sub(1));
    let to_page = |number: usize| {
        link(name, "", &kept(visit, &["group", "search", "more"], &[("page", &number.to_string())]))
    };
    html! {
        p { (all.len()) " letter(s). " a href={ "/console/dead/" (name) } { "All groups" } }
        form method="get" action={ "/console/dead/" (name) "/confirm" } {
            (table("Dead letters", columns, html! {
                @for letter in all.iter().skip(number * PAGE).take(PAGE) {
                    @let id = letter::identity(letter);
                    tr {
                        @if visit.may_act() { td {
                            input type="checkbox" name="id" value=(id) aria-label={ "select " (id) };
                        } }
                        td { a href=(link(name, "/letter", &[("letter", letter.message_id().unwrap_or_default())])) { code { (id) } } }
                        td { (time(died_ms(letter))) }
                        td { (letter::reason(letter).unwrap_or_default()) }
                        td { code { (preview(site, letter)) } }
                    }
                }
            }))
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
