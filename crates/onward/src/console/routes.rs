use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::console::live::{Next, events, live};
use crate::console::overview::{self, Overview};
use crate::console::page::{NO_PAGE, NO_QUEUE, Name, Visit, not_found, page};
use crate::console::site::Site;
use crate::console::{
    access, confirm, dead, dead_letter, development, in_flight, instance, jobs, migrations, progress,
};

/// The longest form of a page, with the identities of some hundred letters.
const LONGEST_FORM: usize = 256 * 1024;

/// The longest form that anybody may send.
const LONGEST_LOGIN: usize = 4 * 1024;

/// The longest message: a body of 1 MiB in which each byte is written as `%XX`.
const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// All pages. The server must give the address of each peer, as `into_make_service_with_connect_info` does.
pub(crate) fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/console", get(all))
        .route("/console/events", get(all_events))
        .route("/console/", get(async || Redirect::to("/console")))
        .route(
            "/console/login",
            get(access::ask).post(access::log_in).layer(DefaultBodyLimit::max(LONGEST_LOGIN)),
        )
        .route("/console/logout", post(access::log_out).layer(DefaultBodyLimit::max(LONGEST_LOGIN)))
        .route("/console/queues/{queue}", get(queue))
        .route("/console/queues/{queue}/events", get(queue_events))
        .route("/console/in-flight", get(messages))
        .route("/console/in-flight/events", get(message_events))
        .route("/console/dead", get(dead::queues))
        .route("/console/dead/{queue}", get(dead::queue))
        .route("/console/dead/{queue}/letter", get(dead_letter::show))
        .route("/console/dead/{queue}/body", get(dead_letter::download))
        .route("/console/dead/{queue}/confirm", get(confirm::ask))
        .route("/console/dead/{queue}/act", post(confirm::act))
        .route("/console/actions/{number}", get(progress::show))
        .route("/console/actions/{number}/events", get(progress::follow))
        .route("/console/actions/{number}/stop", get(progress::ask_to_stop).post(progress::stop))
        .route("/console/jobs", get(jobs::show))
        .route("/console/migrations", get(migrations::show))
        .route("/console/instance", get(instance::show))
        .route(
            "/console/send",
            get(development::ask).post(development::sent).layer(DefaultBodyLimit::max(LONGEST_MESSAGE)),
        )
        .route("/console/log", get(development::log))
        .route("/console/log/events", get(development::follow))
        .route("/console/assets/style.css", get(style))
        .route("/console/assets/icon.svg", get(icon))
        .route("/console/assets/live.js", get(script))
        .route("/console/{*other}", get(other))
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
        .layer(from_fn_with_state(site.clone(), access::guard))
        .with_state(site)
}

/// `GET /console`. With `?token=…`, which a development launch prints, a session begins.
async fn all(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if let Some(token) = visit.query.get("token").filter(|_| access::takes_token_of_address(&site)) {
        return access::enter(&site, &visit, token);
    }
    let content = Overview::read(&site).await.content(&site);
    page(&site, &visit, "Overview", live("/console/events", &content))
}

async fn all_events(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    events(site, visit, |site| async move { (Overview::read(&site).await.content(&site), Next::Follows) })
}

async fn queue(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
    let Some(queue) = site.queue(&name) else { return not_found(&site, NO_QUEUE) };
    let content = overview::one(&site, queue).await;
    page(&site, &visit, &name, live(&format!("/console/queues/{name}/events"), &content))
}

async fn queue_events(State(site): State<Arc<Site>>, visit: Visit, Name(name): Name) -> Response {
    let Some(queue) = site.queue(&name).cloned() else { return not_found(&site, NO_QUEUE) };
    events(site, visit, move |site| {
        let queue = queue.clone();
        async move { (overview::one(&site, &queue).await, Next::Follows) }
    })
}

async fn messages(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    page(&site, &visit, "In flight", live("/console/in-flight/events", &in_flight::content(&site)))
}

async fn message_events(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    events(site, visit, |site| async move { (in_flight::content(&site), Next::Follows) })
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("assets/style.css"))
}

async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("assets/icon.svg"))
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("assets/live.js"))
}

async fn other(State(site): State<Arc<Site>>) -> Response {
    not_found(&site, NO_PAGE)
}
