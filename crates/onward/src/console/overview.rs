//! The overview: each queue in numbers and two plots.

use std::time::Duration;

use futures_util::future::join_all;
use maud::{Markup, html};
use onward_worker::{Activity, Receiving};

use crate::console::page::{duration, rate, stale};
use crate::console::plot::{Line, halved, plot};
use crate::console::queue::QueueSite;
use crate::console::samples::{Shown, Span};
use crate::console::site::Site;
use crate::console::stored::Tables;
use crate::handler::breaker::PausedKeys;
use crate::letters::backlog::Known;
use crate::letters::counts::Counts;
use crate::outbox::Rows;

/// With more queues each plot has half as many points.
const MANY: usize = 8;

/// What is known of the app's tables.
type Stored = crate::console::known::Known<Tables>;

/// What the overview shows of the servers.
pub(super) struct Overview {
    backlogs: Vec<Known>,
    stored: Stored,
}

impl Overview {
    pub(super) async fn read(site: &Site) -> Self {
        let backlogs = join_all(site.queues.iter().map(|queue| queue.counted.look()));
        let (backlogs, stored) = tokio::join!(backlogs, site.stored.look());
        Self { backlogs, stored }
    }

    pub(super) fn content(&self, site: &Site) -> Markup {
        let is_many = site.queues.len() > MANY;
        html! {
            @for (index, (queue, known)) in site.queues.iter().zip(&self.backlogs).enumerate() {
                (of_queue(queue, known, &site.samples.of(index), site.began.elapsed(), is_many))
            }
            (of_tables(&self.stored))
        }
    }
}

fn of_queue(queue: &QueueSite, known: &Known, shown: &Shown, uptime: Duration, is_many: bool) -> Markup {
    let name = queue.watched.queue;
    let activity = queue.watched.monitor.activity();
    let counts = known.backlog.map(|backlog| backlog.counts).unwrap_or_default();
    let dead = known.backlog.and_then(|backlog| backlog.dead);
    let ledger = queue.watched.monitor.ledger();
    let oldest = queue.watched.monitor.oldest_age();
    let [received, done, failed] = shown.present;
    let quantile = |share| shown.hour.durations.quantile(share).map_or_else(|| "–".to_owned(), duration);
    html! {
        section.queue aria-label=(name) {
            h2 { (name) }
            (stale(known.error.as_deref(), known.backlog.map(|backlog| backlog.at)))
            @if let Some(activity) = activity { (receiving(&activity)) }
            (paused(queue))
            dl {
                @let Counts { waiting, in_flight, delayed } = counts;
                (number("waiting", waiting)) (number("in flight", in_flight)) (number("delayed", delayed))
                (number("oldest seen", duration(oldest)))
                @if let Some(Activity { handlers, busy, parked, .. }) = activity {
                    (number("busy handlers", format!("{busy} of {handlers}"))) (number("parked", parked))
                }
                div { dt { "dead" } dd {
                    @match dead {
                        None => "not known",
                        Some(Some(dead)) => a href={ "/console/dead/" (name) } { (dead.all()) },
                        Some(None) => "no dead-letter queue",
                    }
                } }
                (number("received", per_second(received))) (number("done", per_second(done)))
                (number("failed", per_second(failed)))
                (number("p50, p95, p99", format!("{}, {}, {}", quantile(0.5), quantile(0.95), quantile(0.99))))
                (number("calls a message", calls_a_message(ledger.calls(), ledger.done)))
                (number("cost", format!("${:.4} a day", dollars_a_day(ledger.dollars(), uptime))))
            }
            @if !shown.minutes.is_empty() { (plots(name, &shown.minutes, is_many)) }
        }
    }
}

fn number(name: &str, value: impl maud::Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn per_second(value: f64) -> String {
    format!("{}/s", rate(value))
}

/// Why the worker receives less than it could, if it does.
fn receiving(activity: &Activity) -> Markup {
    let paused = match activity.receiving {
        Receiving::All => None,
        Receiving::One => {
            Some("Every message failed: the worker tries one to see whether it works again.".to_owned())
        }
        Receiving::Nothing(left) => {
            Some(format!("Every message failed: the worker receives nothing for {}.", duration(left)))
        }
    };
    html! { @if let Some(paused) = paused { p.problem { (paused) } } }
}

/// How many paused keys are shown.
const KEYS: usize = 10;

/// The keys whose messages wait, because their handler fails.
fn paused(queue: &QueueSite) -> Markup {
    let keys: Vec<_> = queue.paused.iter().flat_map(PausedKeys::read).collect();
    html! {
        @if !keys.is_empty() {
            details {
                summary { (keys.len()) " paused key(s): their handler fails" }
                ul { @for (key, left) in keys.iter().take(KEYS) {
                    li { code { (key) } " " @if left.is_zero() { "is tried" } @else { "for " (duration(*left)) } }
                } }
                @if keys.len() > KEYS { p { (keys.len() - KEYS) " more are not shown." } }
            }
        }
    }
}

fn plots(name: &str, minutes: &[Span], is_many: bool) -> Markup {
    let line = |class, value: fn(&Span) -> f64| {
        let values: Vec<_> = minutes.iter().map(value).collect();
        Line { class, values: if is_many { halved(values) } else { values } }
    };
    let a_second = |class, count: fn(&Span) -> u64| {
        let values: Vec<_> = minutes.iter().map(|span| count(span) as f64 / 60.0).collect();
        Line { class, values: if is_many { halved(values) } else { values } }
    };
    fn quantile(span: &Span, share: f64) -> f64 {
        span.durations.quantile(share).unwrap_or_default().as_secs_f64()
    }
    let rates = [
        a_second("a", |span| span.received),
        a_second("b", |span| span.done),
        a_second("c", |span| span.failed),
    ];
    let times = [
        line("a", |it| quantile(it, 0.5)),
        line("b", |it| quantile(it, 0.95)),
        line("c", |it| quantile(it, 0.99)),
    ];
    let most =
        |lines: &[Line]| lines.iter().flat_map(|line| &line.values).fold(0.0, |most: f64, it| most.max(*it));
    let (most_rate, most_time) = (rate(most(&rates)), duration(Duration::from_secs_f64(most(&times))));
    html! {
        div.plots {
            figure {
                (plot(&format!("{name}: messages a second, up to {most_rate}"), &rates))
                figcaption { i.a {} "received " i.b {} "done " i.c {} "failed, up to " (most_rate) "/s" }
            }
            figure {
                (plot(&format!("{name}: time of handlers, up to {most_time}"), &times))
                figcaption { i.a {} "p50 " i.b {} "p95 " i.c {} "p99, up to " (most_time) }
            }
        }
    }
}

/// Calls for each message that is done.
fn calls_a_message(calls: u64, done: u64) -> String {
    if done == 0 { "–".to_owned() } else { format!("{:.2}", calls as f64 / done as f64) }
}

/// What a day costs, if it goes on as since the start.
fn dollars_a_day(dollars: f64, uptime: Duration) -> f64 {
    dollars / uptime.as_secs_f64().max(1.0) * 86_400.0
}

fn of_tables(stored: &Stored) -> Markup {
    let tables = stored.seen.as_ref().map(|(_, tables)| *tables);
    let (outbox, inbox) = (tables.and_then(|tables| tables.outbox), tables.and_then(|tables| tables.inbox));
    html! {
        @if stored.error.is_some() || outbox.is_some() || inbox.is_some() {
            section.queue aria-label="outbox and inbox" {
                h2 { "Outbox and inbox" }
                (stale(stored.error.as_deref(), stored.seen.as_ref().map(|(at, _)| *at)))
                dl {
                    @if let Some(Rows { waiting, parked, oldest_seconds }) = outbox {
                        @let oldest = Duration::try_from_secs_f64(oldest_seconds).unwrap_or_default();
                        (number("outbox: waiting", waiting)) (number("outbox: parked", parked))
                        (number("outbox: oldest", duration(oldest)))
                    }
                    @if let Some(rows) = inbox { (number("inbox: rows, about", rows)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward_worker::Monitor;

    use crate::console::samples::MINUTES;

    #[test]
    fn twenty_busy_queues_fit_into_thirty_kilobytes() {
        let mut state = 7_u64;
        let mut any = |most: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        let mut minute = || {
            let mut span =
                Span { received: any(60_000), done: any(60_000), failed: any(9_000), ..Span::default() };
            span.durations.counts.iter_mut().for_each(|count| *count = any(1_000));
            span
        };
        let mut bytes = 0;
        for _ in 0..20 {
            let minutes: Vec<_> = (0..MINUTES).map(|_| minute()).collect();
            bytes += plots("a-queue-name", &minutes, true).into_string().len();
        }
        let of_numbers = number("busy handlers", "12 of 64").into_string().len() * 12 * 20;
        assert!(bytes + of_numbers < 28_000, "{bytes} of plots and {of_numbers} of numbers");
        assert_eq!(Monitor::default().oldest_age(), Duration::ZERO);
    }
}
