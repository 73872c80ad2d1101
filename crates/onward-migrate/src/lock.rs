use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::event::Event;

/// Takes the migration lock, or fails with the session that has held it for the whole wait.
pub(crate) async fn take_lock<E: Engine>(
    engine: &mut E,
    wait: Duration,
    stop: &CancellationToken,
    progress: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    /// How often the migrator asks for a busy lock again. No database reports that an advisory lock is free.
    const POLL_INTERVAL: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + wait;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = None;
    loop {
        ticks.tick().await;
        let Err(holder) = engine.try_lock().await? else { return Ok(()) };
        if Instant::now() >= deadline {
            let message = format!("another migrator has held the lock for {wait:?}: {holder}");
            let help = "wait for it to end, or give `--wait` a longer time";
            return Err(Error::new(ErrorKind::Locked, message, help));
        }
        if reported.as_ref() != Some(&holder) {
            progress(Event::Waiting { holder: holder.clone() });
            reported = Some(holder);
        }
        if stop.is_cancelled() {
            let message = "the migration was stopped while another migrator held the lock";
            return Err(Error::new(
                ErrorKind::Interrupted,
                message,
                "nothing was done: run `app migrate` again",
            ));
        }
    }
}
