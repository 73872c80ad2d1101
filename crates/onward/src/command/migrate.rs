use std::time::Duration;

use onward_migrate::{
    DatabaseUrl, Event, MigrateOptions, Migrated, Plan, Session, SessionOptions, Status, Transaction,
};
use onward_script::{History, Script};

use crate::cli;
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::settings::Settings;
use crate::terminal::{data, note};

/// Who upgrades, for the journal and for the server's list of sessions.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub name: String,
    pub version: String,
}

impl Identity {
    pub(crate) fn for_journal(&self) -> onward_migrate::Identity {
        onward_migrate::Identity { host: host_name(), app_version: self.version.clone() }
    }
}

/// Whether a person watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Lines,
    Quiet,
}

pub(crate) async fn run(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    options: &cli::Migrate,
) -> Result<Exit, Failed> {
    let database = Database::open(settings, history.dialect).await?;
    if options.plan {
        return show_plan(&database.url, history, identity, options).await;
    }
    let migrated = upgrade(&database.url, history, identity, options, Progress::Lines).await?;
    let now = migrated.to;
    match migrated.scripts {
        0 => data(&format!("nothing to do: the schema is at {now:04}"))?,
        scripts => data(&format!("applied {scripts} script(s): the schema is at {now:04}"))?,
    }
    Ok(Exit::Done)
}

pub(crate) fn defaults() -> cli::Migrate {
    cli::Migrate {
        plan: false,
        to: None,
        wait: Duration::from_secs(60),
        lock_timeout: None,
        single_transaction: false,
    }
}

/// Upgrades over a session of its own.
pub(crate) async fn upgrade(
    url: &DatabaseUrl,
    history: &History,
    identity: &Identity,
    options: &cli::Migrate,
    progress: Progress,
) -> Result<Migrated, Failed> {
    let mut engine = connect(url, identity, options.lock_timeout).await?;
    let options = MigrateOptions {
        to: options.to,
        wait: options.wait,
        single_transaction: options.single_transaction,
        identity: identity.for_journal(),
    };
    let mut show = |event| show(&event, progress);
    Ok(onward_migrate::migrate(&mut engine, history, &options, &mut show).await?)
}

pub(crate) async fn connect(
    url: &DatabaseUrl,
    identity: &Identity,
    lock_timeout: Option<Duration>,
) -> Result<Session, Failed> {
    let application_name = format!("{} migrate on {}", identity.name, host_name());
    Ok(Session::connect(url, &SessionOptions { application_name, lock_timeout }).await?)
}

/// Best effort: the journal is read by people, who know their hosts by these names.
pub(crate) fn host_name() -> String {
    let named = std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME"));
    let file = || std::fs::read_to_string("/etc/hostname").map(|name| name.trim().to_owned());
    named.ok().or_else(|| file().ok()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

pub(crate) fn show(event: &Event, progress: Progress) {
    match (event, progress) {
        (Event::Waiting { holder }, _) => note(&format!("waiting for another migrator: {holder}")),
        (Event::Notice { text }, _) => note(&format!("  {text}")),
        (Event::Started { file, title: Some(title) }, Progress::Lines) => note(&format!("{file}  {title}")),
        (Event::Started { file, title: None }, Progress::Lines) => note(file),
        (Event::Applied { file, duration }, Progress::Lines) => {
            note(&format!("{file}  applied in {} ms", duration.as_millis()));
        }
        _ => {}
    }
}

async fn show_plan(
    url: &DatabaseUrl,
    history: &History,
    identity: &Identity,
    options: &cli::Migrate,
) -> Result<Exit, Failed> {
    let mut engine = connect(url, identity, options.lock_timeout).await?;
    let status: Status = onward_migrate::status(&mut engine, history).await?;
    let plan = Plan::make(history, &status, options.to, options.single_transaction)?;
    if plan.transactions.is_empty() {
        data("nothing to do")?;
    }
    for (index, transaction) in plan.transactions.iter().enumerate() {
        let (scripts, what) = match transaction {
            Transaction::Together(scripts) => (scripts.as_slice(), "one transaction"),
            Transaction::None(script) => (std::slice::from_ref(script), "no transaction"),
        };
        data(&format!("{}. {what}", index + 1))?;
        for script in scripts {
            data(&format!("   {}", described(script)))?;
        }
    }
    Ok(Exit::Done)
}

fn described(script: &Script) -> String {
    let contract = if script.directives.contract { "  (contract)" } else { "" };
    let title = script.directives.title.as_deref().unwrap_or_default();
    format!("{}  {title}{contract}", script.file_name()).trim_end().to_owned()
}
