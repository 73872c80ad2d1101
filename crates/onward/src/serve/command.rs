//! A command of the app's own: the steps of `serve` as far as the set-up, and then the command in place of the work.

use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
use crate::config::queues::ResolvedQueues;
use crate::database::errors::causes;
use crate::handler::command::Run;
use crate::handler::work::Work;
use crate::process::exit::{CommandError, Exit};
use crate::process::signal::stoppable;

use super::steps::{end_of_app, enter, open, ready};

/// Runs a command until its end or a request to stop, which ends it where it waits.
pub(crate) async fn run(context: &Context, work: Work, name: &str, run: Run) -> Result<Exit, CommandError> {
    let stop = CancellationToken::new();
    let exit = stoppable(&stop, steps(context, work, name, run, &stop)).await?;
    exit.unwrap_or(Ok(Exit::Interrupted))
}

async fn steps(
    context: &Context,
    work: Work,
    name: &str,
    run: Run,
    stop: &CancellationToken,
) -> Result<Exit, CommandError> {
    let names = work.names();
    let stopped = |help: &str| {
        let message = format!("a request to stop ended {name}");
        Err(CommandError::new(Exit::Interrupted, message, help))
    };
    let early = "nothing was done; run it again";
    let Some((resolved, _)) = enter(context, stop).await? else { return stopped(early) };
    let queues = ResolvedQueues::resolve_for_command(&context.settings, &names).await?;
    let database = open(context, &resolved.url, &work)?;
    let ready = ready(work.setup, &database, &names, &queues);
    let Some(ready) = stop.run_until_cancelled(ready).await.transpose()? else { return stopped(early) };
    let outcome = stop.run_until_cancelled(run(ready.state.clone())).await;
    end_of_app(work.on_stop, ready.state).await;
    match outcome {
        Some(Ok(())) => Ok(Exit::Done),
        Some(Err(error)) => {
            let message = format!("{name} failed: {}", causes(&*error));
            Err(CommandError::new(Exit::Failed, message, "correct what the message names, then run it again"))
        }
        None => stopped("what it had committed stays; run it again"),
    }
}
