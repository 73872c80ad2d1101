use onward_migrate::AdoptOptions;
use onward_script::History;

use crate::cli;
use crate::command::migrate::{Identity, Progress, Shown, connect};
use crate::environment::Database;
use crate::exit::{Exit, Failed};
use crate::settings::Settings;
use crate::terminal::data;

pub(crate) async fn run(
    settings: &Settings,
    history: &History,
    identity: &Identity,
    options: &cli::Adopt,
) -> Result<Exit, Failed> {
    let database = Database::open(settings, history.dialect).await?;
    let mut session = connect(&database.url, identity, None).await?;
    let options =
        AdoptOptions { through: options.through, wait: options.wait, identity: identity.for_journal() };
    let mut shown = Shown::new(Progress::Lines);
    let mut progress = |event| shown.show(&event);
    let adopted = onward_migrate::adopt(&mut session, history, &options, &mut progress).await?;
    data(&format!(
        "recorded {} script(s) without running: the schema is at {:04}",
        adopted.scripts, adopted.through
    ))?;
    Ok(Exit::Done)
}
