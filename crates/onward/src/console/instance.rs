//! The instance: version, configuration with its origins, log levels, uptime, memory, and `doctor`'s checks on demand.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::checks::{self, Check, Verdict};
use crate::config::identity::host_name;
use crate::console::page::{Visit, duration, page, rows, table};
use crate::console::site::Site;
use crate::options::{APP_SETTINGS, SETTINGS, Setting};

/// How long the checks may take.
const MOST: Duration = Duration::from_secs(30);

/// `GET /console/instance`; with `?checks=1` the checks run.
pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let outcome = match visit.query.get("checks") {
        Some(_) => {
            let worked = site.worked();
            let all = checks::all(&site.context, &worked, &site.whole);
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
            (verdicts(checks))
        }
        h2 { "Configuration" }
        (settings(&site))
        (options("the app", &APP_SETTINGS, &site.whole.options, &site.whole.origins))
        @for queue in &site.queues { (options(queue.watched.queue, &SETTINGS, &queue.options, &queue.origins)) }
    };
    drop(known);
    page(&site, &visit, "Instance", content)
}

fn process(site: &Site) -> Markup {
    let identity = &site.context.identity;
    rows([
        ("app", Some(format!("{} {}", identity.name, identity.version))),
        ("Onward", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("environment", Some(if site.is_development() { "development" } else { "production" }.to_owned())),
        ("host", Some(host_name())),
        ("process", Some(std::process::id().to_string())),
        ("runs for", Some(duration(site.began.elapsed()))),
        ("memory", memory()),
        ("log levels", site.log.as_ref().map(crate::telemetry::log::LogView::levels)),
    ])
}

/// The memory that is resident, where the system has a file that says it.
/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
fn memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim();
    let kilobytes: u64 = kilobytes.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{} MiB", kilobytes / 1024))
}

fn verdicts(checks: &[Check]) -> Markup {
    table(
        "Checks",
        &["verdict", "check", "says", "help"],
        html! {
            @for Check { what, verdict, says, help } in checks { tr {
                td class=[(*verdict != Verdict::Well).then_some("problem")] { (verdict.word()) }
                td { (what) } td { (says) } td { (help.as_deref().unwrap_or_default()) }
            } }
        },
    )
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
    table(
        "Places",
        &["variable", "value", "from"],
        html! {
            @for (name, origin) in &settings.origins { tr {
                td { (name) } td { (value(name).unwrap_or_default()) } td { (origin.as_deref().unwrap_or("not set")) }
            } }
            tr { td { "CONSOLE_BODIES" } td { (if site.options.shows_bodies { "on" } else { "off" }) } td {} }
        },
    )
}

fn options<O: Clone>(
    of: &str,
    settings: &[Setting<O>],
    options: &O,
    origins: &[(&'static str, String)],
) -> Markup {
    let title = format!("Options of {of}");
    let origin =
        |flag| origins.iter().find(|(known, _)| *known == flag).map_or("the app", |(_, origin)| origin);
    html! {
        h3 { (title) }
        (table(&title, &["option", "value", "from"], html! {
            @for setting in settings { tr {
                td { (setting.flag) } td { (setting.show(options)) } td { (origin(setting.flag)) }
            } }
        }))
    }
}
