//! The upgrade of a database, for `migrate`, `rebuild` and a development launch.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use onward_migrate::{DatabaseUrl, ErrorKind, Event, MigrateOptions, Migrated, Session, SessionOptions};
#[cfg(feature = "local")]
use onward_script::{CheckOptions, Known, SEEDS};
use tokio_util::sync::CancellationToken;

use crate::config::context::{Context, PATIENCE};
use crate::config::identity::host_name;
#[cfg(feature = "local")]
use crate::config::settings::AppEnv;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::note;

/// How to upgrade.
#[derive(Debug, Clone)]
pub(crate) struct UpgradeOptions {
    /// The last script to run; by default the last embedded one.
    pub to: Option<i32>,
    /// How long to wait for another migrator.
    pub wait: Duration,
    /// How long a statement may wait for a lock of another session.
    pub lock_timeout: Option<Duration>,
    /// Whether consecutive scripts commit together.
    pub single_transaction: bool,
}

impl Default for UpgradeOptions {
    fn default() -> Self {
        Self { to: None, wait: Duration::from_secs(60), lock_timeout: None, single_transaction: false }
    }
}

/// Whether to show each script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Lines,
    Quiet,
}

/// Upgrades the database over its own session, until the upgrade is complete or `stop` is cancelled.
pub(crate) async fn upgrade(
    context: &Context,
    url: &DatabaseUrl,
    options: &UpgradeOptions,
    progress: Progress,
    stop: &CancellationToken,
) -> Result<Migrated, CommandError> {
    let connecting = connect(url, context, options.lock_timeout);
    let mut engine = stop.run_until_cancelled(connecting).await.unwrap_or_else(|| {
        let help = "nothing was applied; run the command again";
        Err(CommandError::new(Exit::Interrupted, "stopped before the database had answered", help))
    })?;
    let options = MigrateOptions {
        to: options.to,
        wait: options.wait,
        single_transaction: options.single_transaction,
        applier: context.identity.applier(),
        stop: stop.clone(),
    };
    let mut report = ProgressReport::new(progress);
    let migrated =
        onward_migrate::migrate(&mut engine, &context.history, &options, &mut |event| report.show(&event))
            .await;
    let migrated = migrated.map_err(|error| {
        let error = CommandError::from(match &error.kind {
            ErrorKind::State(status) => context.state_error(status),
            _ => error,
        });
        if stop.is_cancelled() { CommandError { exit: Exit::Interrupted, ..error } } else { error }
    })?;
    #[cfg(feature = "local")]
    if context.settings.env == AppEnv::Development && migrated.scripts > 0 && options.to.is_none() {
        seed(context, &mut engine).await?;
    }
    Ok(migrated)
}

/// Runs `seeds/development.sql` of the project's folder. The binary does not embed it.
#[cfg(feature = "local")]
async fn seed(context: &Context, engine: &mut Session) -> Result<(), CommandError> {
    let (project, history) = (&context.settings.project, &context.history);
    if !project.join(&history.folder).join(SEEDS).is_dir() {
        return Ok(());
    }
    let options = CheckOptions { dialect: history.dialect, trusts_lock: true, ..CheckOptions::default() };
    let checked = onward_build::check_folder(project, &history.folder, options, &Known::default());
    if let Some(history) = checked.history
        && onward_migrate::seed(engine, &history, "development", &context.identity.applier()).await?
    {
        note(&format!("{}/{SEEDS}/development.sql was run", history.folder));
    }
    Ok(())
}

pub(crate) async fn connect(
    url: &DatabaseUrl,
    context: &Context,
    lock_timeout: Option<Duration>,
) -> Result<Session, CommandError> {
    let session = context.session(&format!("migrate on {}", host_name()));
    let options = SessionOptions { lock_timeout, patience: PATIENCE, ..session };
    Ok(Session::connect(url, &options).await?)
}

/// Reports the progress of a migration: a bar on a terminal, lines elsewhere.
pub(crate) struct ProgressReport {
    progress: Progress,
    bar: Option<ProgressBar>,
}

impl ProgressReport {
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
