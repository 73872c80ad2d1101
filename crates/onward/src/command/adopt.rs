use onward_migrate::{AdoptOptions, DatabaseUrl, Session, Takeover, Verification};
use onward_script::import::Tool;

use crate::cli::{self, Origin};
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{ask, data, note};
use crate::upgrade::{Progress, ProgressReport, connect};

pub(crate) async fn run(context: &Context, options: &cli::Adopt) -> Result<Exit, CommandError> {
    let database = ResolvedDatabase::resolve(context).await?;
    let mut session = connect(&database.url, context, None).await?;
    let verification = match options.unverified {
        true => Verification::None,
        false => Verification::Schema { with_grants: options.grants },
    };
    let takeover = match options.from {
        None => None,
        Some(origin) => {
            let tool = match origin {
                Origin::Auto => None,
                Origin::Tool(tool) => Some(tool),
            };
            Some(take_over(&mut session, context, tool, options).await?)
        }
    };
    if let Some(takeover) = &takeover
        && !options.yes
        && !agreed(&database.url, takeover).await?
    {
        note("nothing was recorded");
        return Ok(Exit::Done);
    }
    let options = AdoptOptions {
        through: takeover.as_ref().map(|takeover| takeover.through).or(options.through),
        from: takeover.as_ref().map(|takeover| takeover.journal.tool),
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
    if let Some(Takeover { journal, .. }) = takeover {
        note(&format!(
            "stop the jobs of {}, which would not see what Onward does; a later script may drop {}",
            journal.tool, journal.table
        ));
    }
    Ok(Exit::Done)
}

/// What the other tool's table says. Without the old names only the comparison of the schema can confirm the baseline.
async fn take_over(
    session: &mut Session,
    context: &Context,
    tool: Option<Tool>,
    options: &cli::Adopt,
) -> Result<Takeover, CommandError> {
    let takeover = onward_migrate::takeover(session, &context.history, tool).await?;
    if !takeover.by_name && options.unverified {
        let message = format!(
            "no script says by `-- onward: was NAME` which one of {} it was, so nothing says how far the database is",
            takeover.journal.tool
        );
        let help =
            "import the scripts with `app script import`, leave out `--unverified`, or give `--through N`";
        return Err(CommandError::new(Exit::Usage, message, help));
    }
    let file =
        context.history.get(takeover.through).map_or_else(String::new, onward_script::Script::file_name);
    note(&format!("the database was migrated by {}; that is {file} here", takeover.journal));
    Ok(takeover)
}

/// Asks on a terminal. Elsewhere nobody can answer.
async fn agreed(url: &DatabaseUrl, takeover: &Takeover) -> Result<bool, CommandError> {
    let question =
        format!("record in {url} that the scripts up to {:04} were applied? [y/N] ", takeover.through);
    let asked = tokio::task::spawn_blocking(move || ask(&question)).await.map_err(CommandError::fault)?;
    asked?.ok_or_else(|| {
        let help = "run it again with `--yes`";
        CommandError::new(Exit::Usage, "nobody can be asked: this is no terminal", help)
    })
}
