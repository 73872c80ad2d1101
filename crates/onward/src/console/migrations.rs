//! The schema: its state, the journal, what is pending, drift, and in development what the rules say.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use onward_migrate::{Drift, Engine as _, JournalEntry, RowState, SchemaState, Session, Status};
use onward_script::{Script, always_name};

use crate::console::page::{Visit, duration, page, rows, stale, table};
use crate::console::schema::Schema;
use crate::console::site::Site;
use crate::console::sql::sql;
use crate::process::program::named;

/// How long the page waits for the database.
const MOST: Duration = Duration::from_secs(5);

/// How long a comparison of the objects may take.
const MOST_FOR_DRIFT: Duration = Duration::from_secs(60);

/// How many differences are shown.
const DIFFERENCES: usize = 200;

/// `GET /console/migrations`; with `?drift=1` the objects are compared, too.
pub(super) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let read = within(MOST, read(&site)).await;
    let (read, drift) = match (read, visit.query.get("drift")) {
        (Ok((mut session, schema)), Some(_)) => {
            let drift = within(MOST_FOR_DRIFT, drift(&site, &mut session, &schema.status)).await;
            (Ok(schema), Some(drift))
        }
        (Ok((_, schema)), None) => (Ok(schema), None),
        (Err(error), asked) => (Err(error.clone()), asked.map(|_| Err(error))),
    };
    // Only now, so that no page waits for the database behind another one.
    let mut schema = site.schema.lock().await;
    schema.learn(read);
    let content = html! {
        (stale(&schema))
        @if let Some(Schema { status, journal }) = schema.value() {
            (state(&site, status))
            (pending(&site, status))
            h2 { "Drift" }
            @match &drift {
                None => p { a.button href="/console/migrations?drift=1" { "Compare the objects with the scripts" } },
                Some(Ok(Some(drift))) => (differences(drift)),
                Some(Ok(None)) => p { "schema.lock does not describe this schema: seal the scripts with this version of Onward." },
                Some(Err(error)) => p.problem { "The objects cannot be compared now: " (error) },
            }
            (findings(&site))
            (applied(&site, journal))
        }
    };
    drop(schema);
    page(&site, &visit, "Migrations", content)
}

async fn within<T>(most: Duration, read: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(most, read)
        .await
        .unwrap_or_else(|_| Err("the database did not answer in time".to_owned()))
}

/// With the session, for more questions.
async fn read(site: &Site) -> Result<(Session, Schema), String> {
    let mut session = site.session().await?;
    let observed = onward_migrate::observe(&mut session, &site.context.history).await;
    let status = Status::assess(&site.context.history, &observed.map_err(|error| error.message)?);
    let journal = session.journal().await.map_err(|error| error.message)?;
    Ok((session, Schema { status, journal }))
}

/// How the objects differ; none where `schema.lock` does not tell.
async fn drift(site: &Site, session: &mut Session, status: &Status) -> Result<Option<Drift>, String> {
    let history = &site.context.history;
    let Some(applied) = status.applied.filter(|applied| history.schema_after(*applied).is_some()) else {
        return Ok(None);
    };
    let drift = onward_migrate::drift(session, history, applied, false).await;
    drift.map(Some).map_err(|error| error.message)
}

fn state(site: &Site, status: &Status) -> Markup {
    let is_current = status.state == SchemaState::Current;
    html! {
        (rows([
            ("state", Some(status.state.to_string())),
            ("database", Some(site.url.to_string())),
            ("applied", Some(status.applied.map_or_else(|| "nothing".to_owned(), |it| format!("{it:04}")))),
            ("latest", Some(format!("{:04}", status.latest))),
            ("floor", Some(format!("{:04}", status.floor))),
        ]))
        @for divergence in &status.divergences { p.problem { (divergence.to_string()) } }
        @if !is_current { p.problem { (named(&site.context.state_error(status).help)) } }
    }
}

fn pending(site: &Site, status: &Status) -> Markup {
    let history = &site.context.history;
    let scripts: Vec<&Script> = status.pending.iter().filter_map(|number| history.get(*number)).collect();
    html! {
        h2 { "Pending" }
        @if scripts.is_empty() && status.always.is_empty() { p { "Nothing." } }
        @for script in scripts {
            details {
                summary { (script.file_name()) " " (script.directives.title.as_deref().unwrap_or_default()) }
                (sql(script.text(), history.dialect, &script.file_name()))
            }
        }
        @for name in &status.always { p { (always_name(name)) } }
    }
}

fn differences(drift: &Drift) -> Markup {
    html! {
        @if drift.differences.is_empty() {
            p { "None: " (drift.objects) " objects are as the scripts make them." }
        } @else {
            p { (drift.differences.len()) " difference(s) among " (drift.objects) " objects." }
            ul { @for difference in drift.differences.iter().take(DIFFERENCES) { li { code { (difference.to_string()) } } } }
        }
    }
}

fn applied(site: &Site, journal: &[JournalEntry]) -> Markup {
    let title = |entry: &JournalEntry| {
        let script = site.context.history.all().find(|script| script.file_name() == entry.row.file_name());
        script.and_then(|script| script.directives.title.clone()).unwrap_or_default()
    };
    html! {
        h2 { "Journal" }
        @if journal.is_empty() { p { "Nothing was applied." } }
        @else { (table("Journal", &["script", "title", "applied", "took", "by", "app version"], html! {
            @for entry in journal.iter().rev() { tr {
                td { (entry.row.file_name()) }
                td { (title(entry)) }
                td { (entry.row.applied_on) }
                td { (took(entry)) }
                td { (entry.applied_by) " from " (entry.host) }
                td { (entry.app_version) }
            } }
        })) }
    }
}

fn took(entry: &JournalEntry) -> String {
    match (entry.row.state, entry.duration) {
        (RowState::Applied, Some(took)) => duration(took),
        (RowState::Applied, None) => "not known".to_owned(),
        (RowState::Adopted, _) => "adopted, not run".to_owned(),
        (RowState::Started, _) => "began and never ended".to_owned(),
    }
}

/// What the rules say of the scripts in the project's folder, in development.
#[cfg(feature = "local")]
fn findings(site: &Site) -> Markup {
    use onward_script::{CheckOptions, Known, Severity, render::render};

    if !site.is_development() {
        return html! {};
    }
    let history = &site.context.history;
    let options = CheckOptions { dialect: history.dialect, release: false, ..CheckOptions::default() };
    let root = &site.context.settings.project;
    let checked = onward_build::check_folder(root, &history.folder, options, &Known::default());
    let text = |finding: &onward_script::Finding| {
        let source = checked.sources.get(&finding.file).map(String::as_str);
        render(&finding.of_program(crate::process::program::name()), source)
    };
    html! {
        h2 { "Findings" }
        @if checked.findings.is_empty() { p { "The rules find nothing in " (history.folder) "/." } }
        @for finding in &checked.findings {
            pre tabindex="0" role="region" aria-label="Finding" class=[(finding.severity == Severity::Error).then_some("problem")] { (text(finding)) }
        }
    }
}

#[cfg(not(feature = "local"))]
fn findings(_: &Site) -> Markup {
    html! {}
}
