//! `migrate --plan`: what would run, for a person, as SQL, and as a page.

use std::path::Path;

use onward_migrate::{DatabaseUrl, Plan, Status, Transaction};
use onward_script::{Dialect, Kind, Script};

use crate::config::context::Context;
use crate::database::read::in_time;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::upgrade::{UpgradeOptions, connect};

/// Shows what `migrate` would run, and writes it into files.
pub(crate) async fn show(
    context: &Context,
    url: &DatabaseUrl,
    options: &UpgradeOptions,
    sql: Option<&Path>,
    html: Option<&Path>,
) -> Result<Exit, CommandError> {
    let history = &context.history;
    let mut engine = connect(url, context, options.lock_timeout).await?;
    let status: Status = in_time(onward_migrate::status(&mut engine, history)).await?;
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    let report = Report { context, url, status: &status, plan: &plan };
    let files = [sql.map(|file| (file, report.sql())), html.map(|file| (file, report.html()))];
    for (file, text) in files.into_iter().flatten() {
        if file == Path::new("-") {
            data(text.trim_end())?;
            return Ok(Exit::Done);
        }
        std::fs::write(file, text).map_err(|error| {
            let message = format!("{} cannot be written: {error}", file.display());
            CommandError::new(Exit::Failed, message, "name a file in a folder that exists")
        })?;
    }
    if plan.transactions.is_empty() {
        data("nothing to do")?;
    }
    for (index, transaction) in plan.transactions.iter().enumerate() {
        let what = match transaction {
            Transaction::Together(_) => "one transaction",
            Transaction::None(_) => "no transaction",
        };
        data(&format!("{}. {what}", index + 1))?;
        for script in transaction.scripts() {
            data(&format!("   {}", described(script)))?;
        }
    }
    Ok(Exit::Done)
}

/// What a report is about.
struct Report<'a> {
    context: &'a Context,
    url: &'a DatabaseUrl,
    status: &'a Status,
    plan: &'a Plan<'a>,
}

impl Report<'_> {
    fn at(&self) -> String {
        self.status.applied.map_or_else(|| "empty".to_owned(), |applied| format!("at script {applied:04}"))
    }

    /// The scripts in one text, as they would run.
    fn sql(&self) -> String {
        let (identity, dialect) = (&self.context.identity, self.context.history.dialect);
        let mut text = format!(
            "-- What `{name} migrate` of version {version} would run on {url}, which is {at}.\n-- This is for reading: run it with \
             `{name} migrate`, which also takes the lock and writes the journal.\n",
            name = identity.name,
            version = identity.version,
            url = self.url,
            at = self.at(),
        );
        let (begin, commit, end) = match dialect {
            Dialect::Postgres => ("BEGIN;", "COMMIT;", ""),
            Dialect::SqlServer => ("BEGIN TRANSACTION;\nGO", "COMMIT TRANSACTION;\nGO", "GO\n"),
        };
        for transaction in &self.plan.transactions {
            let is_one = matches!(transaction, Transaction::Together(_));
            text.push_str(&if is_one {
                format!("\n{begin}\n")
            } else {
                "\n-- without a transaction\n".to_owned()
            });
            for script in transaction.scripts() {
                let script_text = script.text().trim_end();
                // The last statement of a script needs no semicolon.
                let close = if dialect == Dialect::Postgres { "\n;" } else { "" };
                text.push_str(&format!(
                    "\n-- {}\n-- sha256 {}\n{script_text}{close}\n{end}-- {}\n",
                    described(script),
                    script.digest,
                    row(script)
                ));
            }
            if is_one {
                text.push_str(&format!("{commit}\n"));
            }
        }
        text
    }

    /// A page for a change ticket: it needs nothing else, and runs no script.
    fn html(&self) -> String {
        let identity = &self.context.identity;
        let title = format!("What {} {} would change", identity.name, identity.version);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             </head>\n<body>\n<h1>{title}</h1>\n<dl>\n<dt>Database</dt><dd>{url}, {at}</dd>\n<dt>Scripts to run</dt><dd>{count}\
             </dd>\n<dt>Schema afterwards</dt><dd>{latest:04}</dd>\n</dl>\n",
            title = escaped(&title),
            url = escaped(&self.url.to_string()),
            at = self.at(),
            count = self.plan.scripts().count(),
            latest = self.plan.scripts().map(|script| script.number).max().unwrap_or(self.status.latest),
        );
        for (index, transaction) in self.plan.transactions.iter().enumerate() {
            let what = match transaction {
                Transaction::Together(_) => "one transaction: all of it, or nothing",
                Transaction::None(_) => "no transaction: what has run before an error stays",
            };
            page.push_str(&format!("<h2>{}. {what}</h2>\n", index + 1));
            for script in transaction.scripts() {
                let contract = match script.directives.contract {
                    true => {
                        "<p><strong>Contract:</strong> versions of the app before this script stop.</p>\n"
                    }
                    false => "",
                };
                page.push_str(&format!(
                    "<h3>{}</h3>\n{contract}<pre>{}</pre>\n<p>SHA-256 {}. {}</p>\n",
                    escaped(&described(script)),
                    escaped(script.text().trim_end()),
                    script.digest,
                    row(script)
                ));
            }
        }
        page.push_str("</body>\n</html>\n");
        page
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
                     pre{background:#f4f4f4;color:#111;padding:1rem;overflow-x:auto}dt{font-weight:bold}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What is recorded about the script.
fn row(script: &Script) -> String {
    match script.kind {
        Kind::Always => "The table schema_always gets a row.".to_owned(),
        _ => format!("The journal gets the row {:04}.", script.number),
    }
}

fn described(script: &Script) -> String {
    let contract = if script.directives.contract { "  (contract)" } else { "" };
    let title = script.directives.title.as_deref().unwrap_or_default();
    format!("{}  {title}{contract}", script.file_name()).trim_end().to_owned()
}
