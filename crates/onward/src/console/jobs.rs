//! Periodic jobs: when each is due, and what its last run was.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::console::page::{Visit, duration, page, stale, table, time};
use crate::console::site::Site;
use crate::schedule::table::{DONE, LastRun};
use crate::schedule::timetable::{Timetable, now};

/// How long the page waits for the database.
const MOST: Duration = Duration::from_secs(5);

const COLUMNS: [&str; 8] = ["job", "times", "next due", "last due", "began", "took", "outcome", "node"];

/// `GET /console/jobs`
pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let read = tokio::time::timeout(MOST, site.schedule.runs());
    let outcome = match site.jobs.is_empty() {
        true => None,
        false => Some(read.await.unwrap_or_else(|_| Err("the database did not answer in time".to_owned()))),
    };
    let mut known = site.runs.lock().await;
    if let Some(outcome) = outcome {
        known.learn(outcome);
    }
    let runs = known.value().map_or(&[][..], Vec::as_slice);
    let content = html! {
        @if site.jobs.is_empty() { p { "The app has none: " code { "App::every" } " adds one." } }
        (stale(&known))
        @if !site.jobs.is_empty() {
            (table("Periodic jobs", &COLUMNS, html! {
                @for (name, times) in &site.jobs { (row(name, times, runs.iter().find(|run| run.job == *name))) }
            }))
        }
    };
    drop(known);
    page(&site, &visit, "Periodic jobs", content)
}

fn row(name: &str, times: &'static str, run: Option<&LastRun>) -> Markup {
    let next = Timetable::parse(times).ok().and_then(|timetable| timetable.next(now()));
    html! {
        tr {
            th scope="row" { (name) }
            td { code { (times) } }
            td { (next.map(time).unwrap_or_default()) }
            @match run {
                None => { td {} td {} td {} td { "not known" } td {} },
                Some(run) => {
                    td { (time(run.due)) }
                    td { @if run.attempts > 0 { (time(run.began)) } }
                    td { @if let Some(took) = took(run) { (duration(took)) } }
                    td class=[(run.outcome.as_deref().is_some_and(|it| it != DONE) && run.attempts > 0).then_some("problem")] {
                        (outcome(run))
                    }
                    td { @if run.attempts > 0 { (run.node) } }
                },
            }
        }
    }
}

fn took(run: &LastRun) -> Option<Duration> {
    let ended = run.ended.filter(|_| run.attempts > 0)?;
    Some(Duration::from_secs(u64::try_from(ended - run.began).ok()?))
}

fn outcome(run: &LastRun) -> String {
    let attempt = if run.attempts > 1 { format!(" (attempt {})", run.attempts) } else { String::new() };
    match (&run.outcome, run.ended) {
        (None, _) => format!("runs{attempt}"),
        (Some(outcome), Some(_)) => format!("{outcome}{attempt}"),
        (Some(reason), None) => format!("failed, and is tried again{attempt}: {reason}"),
    }
}
