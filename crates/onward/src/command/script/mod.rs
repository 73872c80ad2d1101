//! `script …`: what a developer does to the folder of scripts.

mod check;
mod dump;
mod import;
mod new;
mod project;
mod schema;
mod seal;
mod squash;

use onward_migrate::Applier;
use onward_script::{CheckOptions, rules_markdown};

pub(crate) use self::project::Project;
use crate::cli::Script;
use crate::config::context::Context;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};
use crate::scripts::{self, REBUILD};

/// The command for the folder that the app embeds.
pub(crate) async fn of_app(context: &Context, command: &Script) -> Result<Exit, CommandError> {
    let root = context.settings.project.as_path();
    if matches!(command, Script::Seal { .. } | Script::Check { .. })
        && let Some(message) = scripts::stale(&context.history, root)
    {
        note(&format!("note: {message}; {REBUILD}"));
    }
    let options =
        CheckOptions { dialect: context.history.dialect, release: false, ..CheckOptions::default() };
    let project = Project { root, folder: &context.history.folder, options };
    run(&project, &context.identity.applier(), command).await
}

pub(crate) async fn run(
    project: &Project<'_>,
    applier: &Applier,
    command: &Script,
) -> Result<Exit, CommandError> {
    match command {
        Script::New { title } => project.write_next(title),
        Script::Seal { without_schema } => project.seal(*without_schema, applier).await,
        Script::Import { from, folder } => project.import(*from, folder),
        Script::Squash { through } => project.squash(*through, applier).await,
        Script::Check { format, base } => project.check(*format, base.as_deref()),
        Script::Rules => data(rules_markdown().trim_end()).map(|()| Exit::Done),
    }
}
