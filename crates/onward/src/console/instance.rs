//! The instance: version, configuration with its origins, log levels, uptime, memory, and `doctor`'s checks on demand.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::checks::{self, Check, Verdict};
use crate::config::identity::host_name;
use crate::console::page::{Visit, duration, page};
use crate::console::queue::QueueSite;
use crate::console::site::Site;
use crate::options::SETTINGS;

/// How long the checks may take.
const MOST: Duration = Duration::from_secs(30);

/// `GET /console/instance`; with `?checks=1` the checks run.
pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let outcome = match visit.query.get("checks") {
        Some(_) => {
            let worked = site.worked();
            let all = checks::all(&site.context, &worked, site.stored.has_outbox());
            let late = |_| "the checks did not end in time".to_owned();
            Some(tokio::time::timeout(MOST, all).await.map_err(late))
        }
        None => None,
    };
    let mut known = site.checks.lock().await;
    if let Some(outcome) = outcome {
        known.learn(outcome);
    }
    let content = html! {
        (process(&site))
        h2 { "Checks" }
        p { a.button href="/console/instance?checks=1" { "Run the checks of doctor" } }
        @if let Some(error) = &known.error { p.problem { (error) } }
        @if let Some((at, checks)) = &known.seen {
            p { "They ran " (duration(at.elapsed())) " ago." }
            (table(checks))
        }
        h2 { "Configuration" }
        (settings(&site))
        @for queue in &site.queues { (options(queue)) }
    };
    drop(known);
    page(&site, &visit, "Instance", content)
}

fn process(site: &Site) -> Markup {
    let identity = &site.context.identity;
    let rows = [
        ("app", Some(format!("{} {}", identity.name, identity.version))),
        ("Onward", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("environment", Some(if site.is_development() { "development" } else { "production" }.to_owned())),
        ("host", Some(host_name())),
        ("process", Some(std::process::id().to_string())),
        ("runs for", Some(duration(site.began.elapsed()))),
        ("memory", memory()),
        ("log levels", site.log.as_ref().map(crate::telemetry::log::LogView::levels)),
    ];
    html! { dl.rows { @for (name, value) in rows { @if let Some(value) = value {
        div { dt { (name) } dd { (value) } }
    } } } }
}

/// The memory that is resident, where the system has a file that says it.
/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim();
    let kilobytes: u64 = kilobytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{} MiB", kilobytes / 1024))
}

fn table(checks: &[Check]) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label="Checks" { table {
        thead { tr { th scope="col" { "verdict" } th scope="col" { "check" } th scope="col" { "says" } th scope="col" { "help" } } }
        tbody { @for Check { what, verdict, says, help } in checks { tr {
            td class=[(*verdict != Verdict::Well).then_some("problem")] { (verdict.word()) }
            td { (what) } td { (says) } td { (help.as_deref().unwrap_or_default()) }
        } } }
    } } }
}

/// The places, with the passwords that they may hold left out.
fn settings(site: &Site) -> Markup {
    let settings = &site.context.settings;
    let value = |name: &str| match name {
        "DATABASE_URL" => Some(site.url.to_string()),
        "QUEUE_URL" => settings.queue_url.clone(),
        "HTTP_ADDR" => Some(site.address.to_string()),
        _ => None,
    };
    html! { div.scroll tabindex="0" role="region" aria-label="Places" { table {
        thead { tr { th scope="col" { "variable" } th scope="col" { "value" } th scope="col" { "from" } } }
        tbody {
            @for (name, origin) in &settings.origins { tr {
                td { (name) } td { (value(name).unwrap_or_default()) } td { (origin.as_deref().unwrap_or("not set")) }
            } }
            tr { td { "CONSOLE_BODIES" } td { (if site.options.shows_bodies { "on" } else { "off" }) } td {} }
        }
    } } }
}

fn options(queue: &QueueSite) -> Markup {
    html! {
        h3 { "Options of " (queue.watched.queue) }
        div.scroll tabindex="0" role="region" aria-label={ "Options of " (queue.watched.queue) } { table {
            thead { tr { th scope="col" { "option" } th scope="col" { "value" } th scope="col" { "from" } } }
            tbody { @for setting in &SETTINGS { tr {
                td { (setting.flag) }
                td { (setting.show(&queue.options)) }
                td { (queue.origins.iter().find(|(flag, _)| *flag == setting.flag).map_or("the app", |(_, origin)| origin)) }
            } } }
        } }
    }
}
