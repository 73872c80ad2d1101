//! The overview: each queue in numbers and two plots.

use std::time::Duration;

use futures_util::future::join_all;
use maud::{Markup, html};
use onward_worker::{Activity, Receiving};

use crate::console::page::{duration, rate, stale};
use crate::console::plot::{Line, fewer, most, plot};
use crate::console::queue::QueueSite;
use crate::console::samples::{Shown, Span};
use crate::console::site::Site;
use crate::console::stored::Tables;
use crate::handler::breaker::PausedKeys;
use crate::letters::backlog::Backlog;
use crate::letters::counts::Counts;
use crate::outbox::Rows;
use crate::telemetry::known::Known;

/// More queues are the rows of a table, each with a page of its own.
const MANY: usize = 8;

/// What the overview shows of the servers.
pub(super) struct Overview {
    backlogs: Vec<Known<Backlog>>,
    stored: Known<Tables>,
}

impl Overview {
    pub(super) async fn read(site: &Site) -> Self {
        let backlogs = join_all(site.queues.iter().map(|queue| queue.counted.look()));
        let (backlogs, stored) = tokio::join!(backlogs, site.stored.look());
        Self { backlogs, stored }
    }

    pub(super) fn content(&self, site: &Site) -> Markup {
        let uptime = site.began.elapsed();
        let queues = site.queues.iter().zip(&self.backlogs);
        html! {
            @if site.queues.len() > MANY {
                (table(queues.map(|(queue, known)| row(queue, known, &queue.samples.shown()))))
            } @else {
                @for (queue, known) in queues {
                    (of_queue(queue, known, &queue.samples.shown(), uptime))
                }
            }
            (of_tables(&self.stored))
        }
    }
}

/// One queue of many, with all that is known of it.
pub(super) async fn one(site: &Site, queue: &QueueSite) -> Markup {
    of_queue(queue, &queue.counted.look().await, &queue.samples.shown(), site.began.elapsed())
}

fn table(rows: impl Iterator<Item = Markup>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Queues" { table {
            thead { tr {
                th scope="col" { "queue" } th scope="col" { "waiting" } th scope="col" { "dead" }
                th scope="col" { "oldest seen" } th scope="col" { "busy" } th scope="col" { "parked" }
                th scope="col" { "done" } th scope="col" { "failed" } th scope="col" { "p95" }
                th scope="col" { i.a {} "received " i.b {} "done " i.c {} "failed" }
                th scope="col" { i.a {} "p50 " i.b {} "p95 " i.c {} "p99" }
            } }
            tbody { @for row in rows { (row) } }
        } }
    }
}

fn row(queue: &QueueSite, known: &Known<Backlog>, shown: &Shown) -> Markup {
    let name = queue.watched.queue;
    let activity = queue.watched.monitor.activity();
    let waiting = known.value().map(|backlog| backlog.counts.waiting.to_string());
    let dead = known.value().and_then(|backlog| backlog.dead).flatten().map(|dead| dead.all().to_string());
    let not_known = || "–".to_owned();
    let [_, done, failed] = shown.present;
    let (rates, times) = lines(&shown.minutes, true);
    html! {
        tr {
            th scope="row" {
                a href={ "/console/queues/" (name) } { (name) }
                @if let Some(activity) = activity { (receiving(&activity)) }
            }
            td { (waiting.unwrap_or_else(not_known)) }
            td { (dead.unwrap_or_else(not_known)) }
            td { (duration(queue.watched.monitor.oldest_age())) }
            td { (activity.map_or_else(not_known, |it| format!("{} of {}", it.busy, it.handlers))) }
            td { (activity.map_or_else(not_known, |it| it.parked.to_string())) }
            td { (per_second(done)) }
            td { (per_second(failed)) }
            td { (shown.hour.durations.quantile(0.95).map_or_else(not_known, duration)) }
            td { (plot(&format!("up to {}/s", rate(most(&rates))), &rates)) }
            td { (plot(&format!("up to {}", duration(Duration::from_secs_f64(most(&times)))), &times)) }
        }
    }
}

fn of_queue(queue: &QueueSite, known: &Known<Backlog>, shown: &Shown, uptime: Duration) -> Markup {
    let name = queue.watched.queue;
    let activity = queue.watched.monitor.activity();
    let counts = known.value().map(|backlog| backlog.counts);
    let dead = known.value().and_then(|backlog| backlog.dead);
    let ledger = queue.watched.monitor.ledger();
    let oldest = queue.watched.monitor.oldest_age();
    let [received, done, failed] = shown.present;
    let quantile = |share| shown.hour.durations.quantile(share).map_or_else(|| "–".to_owned(), duration);
    html! {
        section.queue aria-label=(name) {
            h2 { (name) }
            (stale(known))
            @if let Some(activity) = activity { (receiving(&activity)) }
            (paused(queue))
            dl {
                @match counts {
                    Some(Counts { waiting, in_flight, delayed }) => {
                        (number("waiting", waiting)) (number("in flight", in_flight)) (number("delayed", delayed))
                    },
                    None => (number("messages", "not known")),
                }
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
            @if !shown.minutes.is_empty() { (plots(name, &shown.minutes)) }
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

/// The lines of the two plots: messages a second, and the time of handlers.
fn lines(minutes: &[Span], are_few: bool) -> ([Line; 3], [Line; 3]) {
    let line = |class, value: &dyn Fn(&Span) -> f64| {
        let values: Vec<_> = minutes.iter().map(value).collect();
        Line { class, values: if are_few { fewer(values) } else { values } }
    };
    let quantile =
        |share| move |span: &Span| span.durations.quantile(share).unwrap_or_default().as_secs_f64();
    let rates = [
        line("a", &|span| span.received as f64 / 60.0),
        line("b", &|span| span.done as f64 / 60.0),
        line("c", &|span| span.failed as f64 / 60.0),
    ];
    (rates, [line("a", &quantile(0.5)), line("b", &quantile(0.95)), line("c", &quantile(0.99))])
}

fn plots(name: &str, minutes: &[Span]) -> Markup {
    let (rates, times) = lines(minutes, false);
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

fn of_tables(stored: &Known<Tables>) -> Markup {
    let tables = stored.value();
    let (outbox, inbox) = (tables.and_then(|tables| tables.outbox), tables.and_then(|tables| tables.inbox));
    html! {
        @if stored.error.is_some() || outbox.is_some() || inbox.is_some() {
            section.queue aria-label="outbox and inbox" {
                h2 { "Outbox and inbox" }
                (stale(stored))
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
    use std::sync::Arc;

    use aws_sdk_sqs::config::BehaviorVersion;
    use aws_sdk_sqs::{Client, Config};

    use crate::console::letters::Letters;
    use crate::console::samples::MINUTES;
    use crate::letters::backlog::Counted;
    use crate::letters::client::QueueClient;
    use crate::telemetry::metrics::Watched;

    /// A queue that is never asked.
    fn queue(number: usize) -> QueueSite {
        let name: &'static str = Box::leak(format!("a-queue-name-{number}").into_boxed_str());
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let client = QueueClient { url: String::new(), client: Client::from_conf(config) };
        QueueSite {
            watched: Watched { queue: name, monitor: Default::default(), wait: Duration::ZERO },
            counted: Arc::new(Counted::new(name, client)),
            options: Default::default(),
            origins: Vec::new(),
            paused: Vec::new(),
            letters: Letters::default(),
            samples: Default::default(),
        }
    }

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
        let mut rows = Vec::new();
        for number in 0..20 {
            let minutes: Vec<_> = (0..MINUTES).map(|_| minute()).collect();
            let shown = Shown { present: [123.4, 123.4, 12.34], hour: minutes[0], minutes };
            rows.push(row(&queue(number), &Known::default(), &shown));
        }
        let bytes = table(rows.into_iter()).into_string().len();
        assert!(bytes < 27_000, "{bytes}, and the frame of the page has up to 2,000");
    }
}
