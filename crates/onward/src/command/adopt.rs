use onward_migrate::{AdoptOptions, Verification};

use crate::cli;
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;
use crate::upgrade::{Progress, ProgressReport, connect};

pub(crate) async fn run(context: &Context, options: &cli::Adopt) -> Result<Exit, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut session = connect(&database.url, context, None).await?;
    let verification = match options.unverified {
        true => Verification::None,
        false => Verification::Schema { with_grants: options.grants },
    };
    let options = AdoptOptions {
        through: options.through,
        wait: options.wait,
        applier: context.identity.applier(),
        verification,
    };
    let mut report = ProgressReport::new(Progress::Lines);
    let mut progress = |event| report.show(&event);
    let adopted = onward_migrate::adopt(&mut session, &context.history, &options, &mut progress).await?;
    data(&format!(
        "recorded {} script(s) without running: the schema is at {:04}",
        adopted.scripts, adopted.through
    ))?;
    match adopted.compared {
        Some(objects) => data(&format!("its {objects} object(s) are those that the scripts make"))?,
        None => data("its objects were not compared with those that the scripts make")?,
    }
    Ok(Exit::Done)
}
