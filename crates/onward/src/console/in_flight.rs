//! The messages that the workers have.

use maud::{Markup, html};
use onward_worker::{InFlight, WaitsFor};

use crate::console::page::{age, duration, table};
use crate::console::site::Site;

/// How many messages of a queue are shown.
const MOST: usize = 200;

const COLUMNS: [&str; 6] = ["message", "attempt", "age", "here for", "lease left", "waits for"];

pub(super) fn content(site: &Site) -> Markup {
    html! {
        @for queue in &site.queues {
            @let all = queue.watched.monitor.in_flight();
            section aria-label=(queue.watched.queue) {
                h2 { (queue.watched.queue) }
                @if all.is_empty() {
                    p { "The worker has no message of this queue." }
                } @else {
                    (table(&format!("Messages of {}", queue.watched.queue), &COLUMNS, html! {
                        @for message in all.iter().take(MOST) { (row(message)) }
                    }))
                    @if all.len() > MOST { p { (all.len() - MOST) " more are not shown." } }
                }
            }
        }
    }
}

fn row(message: &InFlight) -> Markup {
    html! {
        tr {
            td { code { (message.identity) } }
            td { (message.attempt) }
            td { (age(message.sent).map_or_else(|| "?".to_owned(), duration)) }
            td { (duration(message.held)) }
            td { (duration(message.lease_left)) }
            td { (waits_for(message.waits_for)) }
        }
    }
}

fn waits_for(what: WaitsFor) -> String {
    match what {
        WaitsFor::ItsTurn => "a free handler or its turn".to_owned(),
        WaitsFor::ItsHandler => "the end of its handler".to_owned(),
        WaitsFor::Retry(left) => format!("its next attempt in {}", duration(left)),
        WaitsFor::Deletion => "the queue to delete it".to_owned(),
        WaitsFor::Return => "the queue to take it back".to_owned(),
    }
}
