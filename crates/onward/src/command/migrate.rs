use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use onward_migrate::{
    DatabaseUrl, Event, MigrateOptions, Migrated, Plan, Session, SessionOptions, Status, Transaction,
};
use onward_script::{History, Script};
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::settings::Settings;
use crate::signal::Stop;
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
    let stop = CancellationToken::new();
    let signals = Stop::listen(std::io::stderr().is_terminal())?;
    let migrated = tokio::select! {
        migrated = upgrade(&database.url, history, identity, options, Progress::Lines, &stop) => migrated?,
        () = signals.told_twice(&stop) => return Ok(Exit::Interrupted),
    };
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

/// Upgrades over a session of its own, until it is done or told to stop.
pub(crate) async fn upgrade(
    url: &DatabaseUrl,
    history: &History,
    identity: &Identity,
    options: &cli::Migrate,
    progress: Progress,
    stop: &CancellationToken,
) -> Result<Migrated, Failed> {
    let mut engine = connect(url, identity, options.lock_timeout).await?;
    let options = MigrateOptions {
        to: options.to,
        wait: options.wait,
        single_transaction: options.single_transaction,
        identity: identity.for_journal(),
        stop: stop.clone(),
    };
    let mut shown = Shown::new(progress);
    let migrated =
        onward_migrate::migrate(&mut engine, history, &options, &mut |event| shown.show(&event)).await;
    migrated.map_err(|error| {
        let failed = Failed::from(error);
        if stop.is_cancelled() { Failed { exit: Exit::Interrupted, ..failed } } else { failed }
    })
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

/// Shows a migration: a bar on a terminal, lines elsewhere.
pub(crate) struct Shown {
    progress: Progress,
    bar: Option<ProgressBar>,
}

impl Shown {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { progress, bar: None }
    }

    pub(crate) fn show(&mut self, event: &Event) {
        match (event, &self.bar, self.progress) {
            (Event::Waiting { holder }, ..) => self.say(&format!("waiting for another migrator: {holder}")),
            (Event::Notice { text }, ..) => self.say(&format!("  {text}")),
            (Event::Planned { scripts }, _, Progress::Lines)
                if *scripts > 0 && std::io::stderr().is_terminal() =>
            {
                let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                self.bar = Some(ProgressBar::new(*scripts as u64).with_style(style));
            }
            (Event::Started { file, title }, Some(bar), _) => {
                bar.set_message(format!("{file}  {}", title.as_deref().unwrap_or_default()));
            }
            (Event::Applied { file, duration }, Some(bar), _) => {
                bar.println(format!("{file}  applied in {} ms", duration.as_millis()));
                bar.inc(1);
                if bar.length() == Some(bar.position()) {
                    bar.finish_and_clear();
                }
            }
            (Event::Started { file, title: Some(title) }, None, Progress::Lines) => {
                note(&format!("{file}  {title}"));
            }
            (Event::Started { file, title: None }, None, Progress::Lines) => note(file),
            (Event::Applied { file, duration }, None, Progress::Lines) => {
                note(&format!("{file}  applied in {} ms", duration.as_millis()));
            }
            _ => {}
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
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

fn described(script: &Script) -> String {
    let contract = if script.directives.contract { "  (contract)" } else { "" };
    let title = script.directives.title.as_deref().unwrap_or_default();
    format!("{}  {title}{contract}", script.file_name()).trim_end().to_owned()
}
