//! The messages to a service manager, if there is one: ready, alive, stopping.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::serve::health::is_live;
use crate::telemetry::metrics::Watched;

/// How much longer than the grace the manager must wait, for the open poll and the last deletes.
const BEYOND_GRACE: Duration = Duration::from_secs(30);

/// A message to the service manager.
#[cfg_attr(
    not(any(target_os = "linux", windows)),
    expect(dead_code, reason = "launchd has no such messages")
)]
enum Notice {
    Ready,
    Alive,
    /// The process ends within this time.
    Stopping(Duration),
}

/// Sends a notice to systemd; without `NOTIFY_SOCKET` it sends nothing.
/// <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>
#[cfg(target_os = "linux")]
fn send(notice: &Notice) {
    use sd_notify::NotifyState::{ExtendTimeoutUsec, Ready, Status, Stopping, Watchdog};
    let sent = match notice {
        Notice::Ready => sd_notify::notify(&[Ready, Status("working the queue")]),
        Notice::Alive => sd_notify::notify(&[Watchdog]),
        Notice::Stopping(within) => {
            let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[Stopping, ExtendTimeoutUsec(within), Status("draining")])
        }
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}

#[cfg(windows)]
fn send(notice: &Notice) {
    match notice {
        Notice::Ready => crate::process::scm::ready(),
        Notice::Alive => {}
        Notice::Stopping(within) => crate::process::scm::stopping(*within),
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn send(_: &Notice) {}

/// How often the manager expects the message that the process is alive.
#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}

/// Sends ready when the worker has polled every queue, alive while the polls move, and stopping when `drain` is cancelled.
/// It runs until it is dropped, so that the watchdog gets its messages during the drain too.
pub(crate) async fn run(watched: Vec<Watched>, drain: CancellationToken, grace: Duration) {
    let all_polled = async {
        for queue in &watched {
            queue.monitor.first_poll().await;
        }
    };
    tokio::select! {
        () = all_polled => send(&Notice::Ready),
        () = drain.cancelled() => {}
    }
    let mut ticks = watchdog().map(|limit| tokio::time::interval((limit / 3).max(Duration::from_millis(10))));
    let mut is_stopping = false;
    loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => {
                    ticks.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tick => {
                // A worker that hangs sends nothing, so the manager restarts it.
                if is_live(&watched) {
                    send(&Notice::Alive);
                }
            }
            () = drain.cancelled(), if !is_stopping => {
                is_stopping = true;
                send(&Notice::Stopping(grace + BEYOND_GRACE));
            }
        }
    }
}
