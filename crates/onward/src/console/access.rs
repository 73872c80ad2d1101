//! Who may look, and who may act.
//!
//! With `CONSOLE_TOKEN` whoever has shown it may look and act. Without it only this machine may look, and nobody may act; a
//! development launch prints a token of its own. What protects a browser's session: the cookie is `HttpOnly` and `SameSite=Strict`,
//! each form has a token of the session, `Origin` must be this host, and without a configured token the `Host` must be a name of this
//! machine, so that no other site can reach the page by a name that it has made point here (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use futures_util::FutureExt as _;

use crate::console::form::Form;
use crate::console::options::Token;
use crate::console::page::{self, Visit};
use crate::console::sessions::{LIFETIME, Refused};
use crate::console::site::Site;
use crate::console::visitor::Visitor;

/// Browsers keep cookies by host and not by port, so the name has the port.
fn cookie_name(site: &Site) -> String {
    format!("onward_console_{}", site.address.port())
}

/// <https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy>
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request through, with its [`Visitor`], or answers why not. Sets the headers that protect every answer.
pub(super) async fn guard(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_asset = request.uri().path().starts_with("/console/assets/");
    let mut response = match admit(&site, peer.ip().to_canonical(), &request) {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => response,
                Err(_) => {
                    let why = "This page has failed: please report it, with the last lines of the log.";
                    page::refusal(&site, StatusCode::INTERNAL_SERVER_ERROR, why, "")
                }
            }
        }
        Err(refusal) => *refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` a browser sends the forms of the console with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let caching = if is_asset { "max-age=60" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

fn admit(site: &Site, from: IpAddr, request: &Request) -> Result<Visitor, Box<Response>> {
    let (headers, path) = (request.headers(), request.uri().path());
    let is_configured = matches!(site.options.token, Token::Configured(_));
    let refused =
        |why: &str, help: &str| Err(Box::new(page::refusal(site, StatusCode::FORBIDDEN, why, help)));
    let is_here =
        from.is_loopback() && is_of_this_machine(host(headers, request.uri())) && !is_forwarded(headers);
    if !(is_configured || is_here) {
        return refused(
            "Without CONSOLE_TOKEN the console answers this machine only.",
            "Set CONSOLE_TOKEN to a secret of 16 characters or more and start the app again, or open the page on the machine itself \
             as http://localhost, without a proxy.",
        );
    }
    // The cookie of a session is not sent from other sites; without a session they could still make the app look.
    let is_plain = path == "/console" && request.uri().query().is_none();
    if !is_configured && !is_plain && is_from_another_site(headers) {
        return refused(
            "This request comes from another site.",
            "Open the console itself, and go on from there.",
        );
    }
    let session = cookie(headers, &cookie_name(site)).and_then(|cookie| site.sessions.of(cookie));
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_change && !is_same_origin(headers, request.uri()) {
        return refused(
            "This request comes from another site.",
            "Open the console itself, and try again there.",
        );
    }
    let is_open = path == "/console/login" || path.starts_with("/console/assets/");
    if (is_configured || is_change) && session.is_none() && !is_open {
        return Err(Box::new(login_page(site, StatusCode::UNAUTHORIZED, None)));
    }
    Ok(Visitor { from, session })
}

/// The name of the host in a request, with its port.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(axum::http::uri::Authority::as_str).or(named).unwrap_or_default()
}

fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether a proxy has passed the request on: then nobody knows where it comes from.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// What a browser says of the page that has made the request. <https://w3c.github.io/webappsec-fetch-metadata/>
fn fetch_site(headers: &HeaderMap) -> Option<&str> {
    headers.get("sec-fetch-site")?.to_str().ok()
}

fn is_from_another_site(headers: &HeaderMap) -> bool {
    fetch_site(headers).is_some_and(|site| !["none", "same-origin"].contains(&site))
}

/// A browser sends `Origin` with each form. Behind a proxy that changes the `Host` it still knows that both are the same.
fn is_same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = fetch_site(headers) {
        return site == "same-origin";
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let authority = origin.and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host(headers, uri)))
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

/// Whether the address of the overview may have the token: a production token must not get into the log of a proxy.
pub(super) fn takes_token_of_address(site: &Site) -> bool {
    matches!(site.options.token, Token::Printed { .. })
}

/// `GET /console/login`: asks for the token.
pub(super) async fn ask(State(site): State<Arc<Site>>) -> Response {
    login_page(&site, StatusCode::OK, None)
}

/// `POST /console/login`: begins a session.
pub(super) async fn log_in(State(site): State<Arc<Site>>, visit: Visit, form: Form) -> Response {
    enter(&site, &visit, form.get("token").unwrap_or_default())
}

/// Begins a session where the token is right, and goes to the overview.
pub(super) fn enter(site: &Site, visit: &Visit, token: &str) -> Response {
    let (Token::Configured(digest) | Token::Printed { digest, .. }) = &site.options.token else {
        return login_page(site, StatusCode::FORBIDDEN, None);
    };
    match site.sessions.begin(visit.visitor.from, token, *digest) {
        Ok(cookie) => {
            tracing::info!(who = %visit.visitor.from, "console: a session began");
            let secure = if visit.is_https { "; Secure" } else { "" };
            let cookie = format!(
                "{}={cookie}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
                cookie_name(site),
                LIFETIME.as_secs()
            );
            ([(header::SET_COOKIE, cookie)], Redirect::to("/console")).into_response()
        }
        Err(Refused::Wrong) => {
            tracing::warn!(who = %visit.visitor.from, "console: a wrong token");
            login_page(site, StatusCode::UNAUTHORIZED, Some("This is not the token."))
        }
        Err(Refused::TooMany) => {
            tracing::warn!(who = %visit.visitor.from, "console: too many tokens were tried");
            let why = "Too many tokens were tried. Wait for a minute, then try again.";
            let mut response = login_page(site, StatusCode::TOO_MANY_REQUESTS, Some(why));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            response
        }
    }
}

/// `POST /console/logout`
pub(super) async fn log_out(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let name = cookie_name(&site);
    if let Some(cookie) = cookie(&headers, &name) {
        site.sessions.end(cookie);
    }
    let cookie = format!("{name}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/console")).into_response()
}

fn login_page(site: &Site, status: StatusCode, problem: Option<&str>) -> Response {
    let (can_log_in, help) = match site.options.token {
        Token::None => (
            false,
            "Set CONSOLE_TOKEN to a secret of 16 characters or more and start the app again: without it nobody may act.",
        ),
        Token::Configured(_) => (true, "The token is the value of CONSOLE_TOKEN."),
        Token::Printed { .. } => (true, "The launch has printed an address with the token."),
    };
    page::login(site, status, problem, can_log_in, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for (host, expected) in [
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8080", true),
            ("127.1.2.3", true),
            ("[::1]:8080", true),
            ("attacker.example:8080", false),
            ("localhost.attacker.example", false),
            ("127.0.0.1.attacker.example", false),
            ("10.0.0.1:8080", false),
            ("", false),
        ] {
            assert_eq!(is_of_this_machine(host), expected, "{host}");
        }
    }

    #[test]
    fn a_form_comes_from_this_host_or_not_at_all() {
        let uri = Uri::from_static("/console/jobs");
        for (origin, expected) in [
            (Some("http://localhost:8080"), true),
            (Some("https://localhost:8080"), true),
            (Some("http://localhost:9090"), false),
            (Some("http://attacker.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_same_origin(&headers, &uri), expected, "{origin:?}");
            // A browser behind a proxy knows better than the two headers.
            headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
            assert!(is_same_origin(&headers, &uri));
            headers.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
            assert!(!is_same_origin(&headers, &uri));
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        let cookies = "theme=dark; onward_console_80=old; onward_console_8080=abc; x=y";
        headers.insert(header::COOKIE, HeaderValue::from_static(cookies));
        assert_eq!(cookie(&headers, "onward_console_8080"), Some("abc"));
        assert_eq!(cookie(&headers, "console_8080"), None);
    }
}
