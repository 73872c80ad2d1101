//! What all pages have: the frame, the way to other pages, times and durations for a person.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use crate::console::form::Form;
use crate::console::site::Site;
use crate::console::visitor::Visitor;
use crate::letters::letter::shown_time;
use crate::telemetry::known::Known;

pub(super) const NO_QUEUE: &str = "The app does not work this queue.";
pub(super) const NO_PAGE: &str = "The console has no such page.";

/// A request to a page.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub visitor: Visitor,
    pub uri: Uri,
    pub query: Form,
    pub is_https: bool,
}

impl FromRequestParts<Arc<Site>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Response> {
        let Some(visitor) = parts.extensions.get::<Visitor>().cloned() else {
            return Err(refusal(site, StatusCode::FORBIDDEN, "This request was not admitted.", ""));
        };
        let is_https = forwarded_proto(&parts.headers) == Some("https");
        let (uri, query) = (parts.uri.clone(), Form::of_query(&parts.uri));
        Ok(Self { visitor, uri, query, is_https })
    }
}

/// The name or number that the path of a page has.
pub(super) struct Name(pub String);

impl FromRequestParts<Arc<Site>> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Response> {
        // What is not UTF-8 names nothing.
        let named = Path::from_request_parts(parts, site).await;
        named.map(|Path(name)| Self(name)).map_err(|_| not_found(site, NO_PAGE))
    }
}

impl FromRequest<Arc<Site>> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Response> {
        let body = Bytes::from_request(request, site).await.map_err(|error| {
            let why = format!("The form cannot be read: {}.", error.body_text());
            refusal(
                site,
                error.status(),
                &why,
                "Nothing was done. Choose fewer letters, or send a shorter message.",
            )
        })?;
        Ok(Self::parse(&body))
    }
}

fn forwarded_proto(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-forwarded-proto")?.to_str().ok()
}

impl Visit {
    /// Whether this visitor may redrive, delete and send.
    pub(super) fn may_act(&self) -> bool {
        self.visitor.session.is_some()
    }

    /// Refuses a form that was not made for this session.
    pub(super) fn require(&self, site: &Site, form: &Form) -> Result<(), Box<Response>> {
        let session = self.visitor.session.as_ref();
        if session.is_some_and(|session| session.made(form.get("csrf").unwrap_or_default())) {
            return Ok(());
        }
        let why = "This form was not made for your session, so nothing was done.";
        Err(Box::new(refusal(site, StatusCode::FORBIDDEN, why, "Load the page again, and send its form.")))
    }

    /// The hidden field that each form must have.
    pub(super) fn csrf(&self) -> Markup {
        let csrf = self.visitor.session.as_ref().map(|session| session.csrf.as_str());
        html! { input type="hidden" name="csrf" value=[csrf]; }
    }
}

/// The pages that the header links to.
const PAGES: [(&str, &str); 6] = [
    ("/console", "Overview"),
    ("/console/in-flight", "In flight"),
    ("/console/dead", "Dead letters"),
    ("/console/jobs", "Jobs"),
    ("/console/migrations", "Migrations"),
    ("/console/instance", "Instance"),
];
const PAGES_OF_DEVELOPMENT: [(&str, &str); 2] = [("/console/send", "Send"), ("/console/log", "Log")];

/// A whole page.
pub(super) fn page(site: &Site, visit: &Visit, title: &str, content: Markup) -> Response {
    let path = visit.uri.path();
    let more: &[_] = if site.is_development() { &PAGES_OF_DEVELOPMENT } else { &[] };
    let navigation = html! {
        nav aria-label="Console" {
            @for (target, name) in PAGES.iter().chain(more) {
                @let is_here = path == *target || (*target != "/console" && path.starts_with(target));
                a href=(target) aria-current=[is_here.then_some("page")] { (name) }
            }
            @if visit.may_act() {
                form method="post" action="/console/logout" { button.quiet { "Log out" } }
            } @else {
                a href="/console/login" { "Log in" }
            }
        }
    };
    answer(StatusCode::OK, frame(site, title, navigation, content))
}

fn answer(status: StatusCode, page: Markup) -> Response {
    (status, Html(page.into_string())).into_response()
}

fn frame(site: &Site, title: &str, navigation: Markup, content: Markup) -> Markup {
    let identity = &site.context.identity;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (identity.name) }
                link rel="stylesheet" href="/console/assets/style.css";
                link rel="icon" href="/console/assets/icon.svg";
                script src="/console/assets/live.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    p.app { strong { (identity.name) } " " (identity.version) }
                    @if site.is_development() { p.development { "development" } }
                    (navigation)
                }
                main id="content" { h1 { (title) } (content) }
            }
        }
    }
}

/// A page that says why a request was not done.
pub(super) fn refusal(site: &Site, status: StatusCode, why: &str, help: &str) -> Response {
    let content = html! { p.problem { (why) } @if !help.is_empty() { p { (help) } } };
    answer(status, frame(site, "Not done", html! {}, content))
}

/// The page that asks for the token.
pub(super) fn login(
    site: &Site,
    status: StatusCode,
    problem: Option<&str>,
    is_open: bool,
    help: &str,
) -> Response {
    let content = html! {
        @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
        @if is_open {
            form method="post" action="/console/login" {
                label for="token" { "Token" }
                input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
                button { "Log in" }
            }
        }
        p { (help) }
        p { a href="/console" { "Overview" } }
    };
    answer(status, frame(site, "Log in", html! {}, content))
}

pub(super) fn not_found(site: &Site, what: &str) -> Response {
    refusal(site, StatusCode::NOT_FOUND, what, "Go back to the page before and load it again.")
}

/// Names with their values; one without a value is left out.
pub(super) fn rows<const N: usize>(rows: [(&str, Option<String>); N]) -> Markup {
    html! { dl.rows { @for (name, value) in rows { @if let Some(value) = value {
        div { dt { (name) } dd { (value) } }
    } } } }
}

/// A table that scrolls by itself where the screen is narrow.
pub(super) fn table(label: &str, columns: &[&str], rows: Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for column in columns { th scope="col" { (column) } } } }
            tbody { (rows) }
        } }
    }
}

/// How old what is shown is, where it could not be read again.
pub(super) fn stale<T>(known: &Known<T>) -> Markup {
    stale_since(known.error.as_deref(), known.seen.as_ref().map(|(at, _)| *at))
}

/// As [`stale`], for what was seen at this moment.
pub(super) fn stale_since(error: Option<&str>, seen: Option<Instant>) -> Markup {
    html! {
        @if let Some(error) = error {
            p.problem role="status" {
                "Cannot be read now: " (error) ". "
                @match seen {
                    Some(seen) => { "What is shown is " (duration(seen.elapsed())) " old." }
                    None => { "Nothing is known yet." }
                }
            }
        }
    }
}

/// A duration with two digits or more: `340 ms`, `12.5 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.0005 => "0 ms".to_owned(),
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3_600.0 => format!("{:.0} min", (s / 60.0).floor()),
        s if s < 172_800.0 => format!("{:.0} h", (s / 3_600.0).floor()),
        s => format!("{:.0} d", (s / 86_400.0).floor()),
    }
}

/// A moment, in seconds since 1970.
pub(super) fn time(seconds: i64) -> String {
    shown_time(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

/// The time since a moment of the clock.
pub(super) fn age(moment: Option<SystemTime>) -> Option<Duration> {
    SystemTime::now().duration_since(moment?).ok()
}

/// A rate a second: `0`, `0.40`, `12.3`, `1234`.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 1.0 => format!("{rate:.2}"),
        rate if rate < 100.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (ms, expected) in [
            (0, "0 ms"),
            (3, "3.0 ms"),
            (340, "340 ms"),
            (12_500, "12.5 s"),
            (3_599_000, "59 min"),
            (7_200_000, "2 h"),
            (259_200_000, "3 d"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), expected);
        }
    }
}
