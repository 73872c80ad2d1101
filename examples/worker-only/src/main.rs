//! Works the queue of `QUEUE_URL` until Ctrl-C or SIGTERM.

use std::error::Error;
use std::process::ExitCode;

use onward_worker::{Failure, Message, Options, Sqs, causes, run};

/// Takes an order: a number. What is no number can never be one, so it is a dead letter at once.
async fn take_order(message: Message) -> Result<(), Failure> {
    let number: u64 = message.body.trim().parse().map_err(|_| Failure::reject("the order is no number"))?;
    tracing::info!(number, id = message.id, "order taken");
    Ok(())
}

#[cfg(unix)]
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "signals cannot be received; only a kill ends the worker");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn stop() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "signals cannot be received; only a kill ends the worker");
        std::future::pending::<()>().await;
    }
}

async fn work() -> Result<(), Box<dyn Error>> {
    let ledger = run(Sqs::from_env().await?, take_order, Options::default(), stop()).await?;
    tracing::info!(%ledger, "stopped");
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match work().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}
