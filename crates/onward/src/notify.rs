//! What a service manager is told: ready, alive, stopping. Where there is none, nothing is told.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::{Watched, is_live};

/// How much longer than the grace the manager shall wait: the open poll and the last deletes come on top.
const BEYOND_GRACE: Duration = Duration::from_secs(30);

/// What there is to tell.
#[cfg_attr(not(any(target_os = "linux", windows)), expect(dead_code, reason = "launchd asks for no news"))]
enum News {
    Ready,
    Alive,
    /// It ends within this time.
    Stopping(Duration),
}

/// Without `NOTIFY_SOCKET` nothing is told.
/// <https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>
#[cfg(target_os = "linux")]
fn tell(news: &News) {
    use sd_notify::NotifyState::{ExtendTimeoutUsec, Ready, Status, Stopping, Watchdog};
    let told = match news {
        News::Ready => sd_notify::notify(&[Ready, Status("working the queue")]),
        News::Alive => sd_notify::notify(&[Watchdog]),
        News::Stopping(within) => {
            let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[Stopping, ExtendTimeoutUsec(within), Status("draining")])
        }
    };
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

#[cfg(windows)]
fn tell(news: &News) {
    match news {
        News::Ready => crate::scm::ready(),
        News::Alive => {}
        News::Stopping(within) => crate::scm::stopping(*within),
    }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn tell(_: &News) {}

/// How often the manager wants to hear that it is alive.
#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
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
        () = all_polled => tell(&News::Ready),
        () = drain.cancelled() => {}
    }
    let mut ticks = watchdog().map(|limit| tokio::time::interval((limit / 3).max(Duration::from_millis(10))));
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
                    tell(&News::Alive);
                }
            }
            () = drain.cancelled(), if !told => {
                told = true;
                tell(&News::Stopping(grace + BEYOND_GRACE));
            }
        }
    }
}
