//! `script …`: what a developer does to the folder of scripts.

mod check;
mod dump;
mod import;
mod new;
mod project;
mod schema;
mod seal;
mod squash;

use onward_script::{CheckOptions, rules_markdown};

use self::project::Project;
use crate::cli::Script;
use crate::config::context::Context;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{data, note};
use crate::scripts::{self, REBUILD};

pub(crate) async fn run(context: &Context, command: &Script) -> Result<Exit, CommandError> {
    let project = Project {
        root: &context.settings.project,
        folder: &context.history.folder,
        options: CheckOptions { dialect: context.history.dialect, release: false, ..CheckOptions::default() },
    };
    if matches!(command, Script::Seal { .. } | Script::Check { .. })
        && let Some(message) = scripts::stale(&context.history, project.root)
    {
        note(&format!("note: {message}; {REBUILD}"));
    }
    match command {
        Script::New { title } => project.write_next(title),
        Script::Seal { without_schema } => project.seal(*without_schema, context).await,
        Script::Import { from, folder } => project.import(*from, folder),
        Script::Squash { through } => project.squash(*through, context).await,
        Script::Check { format, base } => project.check(*format, base.as_deref()),
        Script::Rules => data(rules_markdown().trim_end()).map(|()| Exit::Done),
    }
}
