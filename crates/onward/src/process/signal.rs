use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::process::exit::{CommandError, Exit};

/// Requests this close together are one: a terminal signals the whole foreground group, and a wrapper such as `cargo run`
/// or a container's init process forwards the signal once more.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// The requests to stop: SIGTERM and Ctrl-C, on Windows the console's events and the service manager's stop.
pub(crate) struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// The end of the terminal, if the process runs in one.
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    close: tokio::signal::windows::CtrlClose,
    #[cfg(windows)]
    shutdown: tokio::signal::windows::CtrlShutdown,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

/// The requests to read the log levels again: SIGHUP for a process without a terminal, and on Windows the service
/// manager's `paramchange`.
pub(crate) struct Reload {
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl Reload {
    /// Handles the signal from now on, so that it does not end the process.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { hang_up: signal(SignalKind::hangup()).map_err(|error| unavailable(&error))? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next request.
    pub(crate) async fn requested(&mut self) {
        #[cfg(unix)]
        if self.hang_up.recv().await.is_some() {
            return;
        }
        #[cfg(windows)]
        return crate::process::scm::reload_requested().await;
        #[cfg(not(windows))]
        std::future::pending().await
    }
}

fn unavailable(error: &std::io::Error) -> CommandError {
    CommandError::new(
        Exit::Failed,
        format!("signals cannot be received: {error}"),
        "check the limits of the system",
    )
}

/// Runs a command to its end, and cancels `stop` at the first request. `None` if a second one came before the end.
pub(crate) async fn stoppable<T>(
    stop: &CancellationToken,
    run: impl Future<Output = T>,
) -> Result<Option<T>, CommandError> {
    let signals = Stop::listen(std::io::stderr().is_terminal())?;
    tokio::select! {
        done = run => Ok(Some(done)),
        () = signals.requested_twice(stop) => Ok(None),
    }
}

impl Stop {
    /// Handles the signals from now on, so that they do not end the process by themselves. In a terminal, the end of the
    /// terminal is a request too.
    pub(crate) fn listen(in_terminal: bool) -> Result<Self, CommandError> {
        Self::open(in_terminal).map_err(|error| unavailable(&error))
    }

    #[cfg(unix)]
    fn open(in_terminal: bool) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: in_terminal.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    #[cfg(windows)]
    fn open(_: bool) -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { close: ctrl_close()?, shutdown: ctrl_shutdown()?, interrupt: ctrl_c()? })
    }

    /// Cancels `stop` at the first request and completes at the second: a person who asks twice does not want to wait.
    pub(crate) async fn requested_twice(mut self, stop: &CancellationToken) {
        self.requested().await;
        stop.cancel();
        let first = Instant::now();
        self.requested().await;
        while first.elapsed() < SAME_REQUEST {
            self.requested().await;
        }
        tracing::warn!("a second request to stop: the process ends now");
    }

    /// Waits for the next request.
    async fn requested(&mut self) {
        #[cfg(unix)]
        {
            let hung_up = async {
                match &mut self.hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
                _ = hung_up => {}
            }
        }
        #[cfg(windows)]
        tokio::select! {
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
            _ = self.interrupt.recv() => {}
            () = crate::process::scm::stop_requested() => {}
        }
    }
}
