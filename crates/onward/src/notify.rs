//! What a service manager is told: ready, alive, stopping. Without `NOTIFY_SOCKET` nothing is told.
//! <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::health::{Watched, is_live};

/// How much longer than the grace the manager shall wait: the open poll and the last deletes come on top.
const BEYOND_GRACE: Duration = Duration::from_secs(30);

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Ready when every queue is polled, alive as long as the polls move, stopping when told to. It runs until it is
/// dropped, so that the watchdog is fed during the drain, too.
pub(crate) async fn keep(watched: Vec<Watched>, drain: CancellationToken, grace: Duration) {
    let all_polled = async {
        for queue in &watched {
            queue.monitor.first_poll().await;
        }
    };
    tokio::select! {
        () = all_polled => tell(&[NotifyState::Ready, NotifyState::Status("working the queue")]),
        () = drain.cancelled() => {}
    }
    let watchdog = sd_notify::watchdog_enabled();
    let mut ticks = watchdog.map(|limit| tokio::time::interval((limit / 3).max(Duration::from_millis(10))));
    let mut told = false;
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
                // A worker that hangs does not feed it, and is restarted.
                if is_live(&watched) {
                    tell(&[NotifyState::Watchdog]);
                }
            }
            () = drain.cancelled(), if !told => {
                told = true;
                let limit = u32::try_from((grace + BEYOND_GRACE).as_micros()).unwrap_or(u32::MAX);
                tell(&[
                    NotifyState::Stopping,
                    NotifyState::ExtendTimeoutUsec(limit),
                    NotifyState::Status("draining"),
                ]);
            }
        }
    }
}
