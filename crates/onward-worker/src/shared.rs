use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::capacity::Capacity;
use crate::claim::Claim;
use crate::error::QueueError;
use crate::finished::Finished;
use crate::leases::Leases;
use crate::ledger::count;
use crate::monitor::Monitor;
use crate::options::Options;
use crate::outcome::{Outcome, Outcomes};
use crate::parking::Parking;
use crate::process::Process;
use crate::queue::{Attempts, Queue};
use crate::retry::{SUSPICIOUS_RECEIVES, USUAL_RECEIVES, least_interval, least_interval_in_fifo};
use crate::runs::Runs;

/// How often a message that has another receive left is tried to be sent anew.
const TRIES: u32 = 4;

/// For how long a message with its last receive is tried to be sent anew. Most outages pass in it; where the role may not send, or the
/// message has become too large, it is better attempted than held.
const LAST_TRIES: Duration = Duration::from_secs(60);

/// For how long no other message is tried for so long then: each would hold up those that came with it.
const HOPELESS: Duration = Duration::from_secs(300);

/// How long a call may take that sends a message anew when the grace has ended.
const LAST_CALL: Duration = Duration::from_secs(2);

/// SQS hides a message for twelve hours from its receive at the longest.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
const MAX_HIDDEN: Duration = Duration::from_secs(12 * 3600);

/// What every task of a worker uses.
#[derive(Debug)]
pub(crate) struct Core<Q> {
    pub queue: Q,
    pub options: Options,
    pub monitor: Monitor,
    pub leases: Arc<Leases>,
    pub finished: Arc<Finished>,
}

/// What intake and deliveries use besides.
#[derive(Debug)]
pub(crate) struct Shared<Q, H> {
    pub core: Arc<Core<Q>>,
    pub handler: H,
    pub outcomes: Outcomes,
    pub capacity: Arc<Capacity>,
    pub parking: Arc<Parking>,
    pub breaker: Arc<Breaker>,
    pub runs: Arc<Runs>,
    pub process: Process,
    /// When a message could not be sent anew for the whole of [`LAST_TRIES`], if none has been since.
    pub unsendable: Mutex<Option<Instant>>,
    /// Cancelled when the worker is told to stop.
    pub stop: CancellationToken,
    /// Cancelled when no poll is open any more and none begins.
    pub polls_ended: CancellationToken,
    /// Cancelled when the grace has ended.
    pub abandon: CancellationToken,
}

impl<Q: Queue, H> Shared<Q, H> {
    /// Gives back a message without an attempt, to another worker or a later poll: at once, unless handlers fail at present or
    /// it has come several times. Then it stays away for a while, because each receive brings it nearer to the
    /// dead-letter queue. Returns how long; or the claim, as [`Shared::give_back`] does.
    pub(crate) async fn release(
        &self,
        mut claim: Box<Claim>,
        why: &'static str,
    ) -> Result<Duration, Box<Claim>> {
        let delay = self.delay_of_return(&mut claim);
        let id = claim.message.identity().to_owned();
        self.give_back(claim, delay).await?;
        self.count_release(&id, why, delay);
        Ok(delay)
    }

    /// How long a message stays away that goes back for no reason of its own.
    pub(crate) fn delay_of_return(&self, claim: &mut Claim) -> Duration {
        claim.catch_up();
        // A message of a FIFO queue cannot be sent anew, so it is spared from its second receive on.
        let spared_from = if self.core.queue.is_fifo() { 2 } else { SUSPICIOUS_RECEIVES };
        let is_at_once = claim.message.receive_count < spared_from && !self.breaker.is_sick();
        if is_at_once { Duration::ZERO } else { self.least_delay(claim) }
    }

    /// How long a message that goes back stays away at least. The time that it was here counts.
    pub(crate) fn least_delay(&self, claim: &Claim) -> Duration {
        let (receives, queue) = (claim.message.receive_count, &self.core.queue);
        let interval = if queue.is_fifo() { least_interval_in_fifo } else { least_interval };
        interval(receives, queue.receive_limit()).saturating_sub(claim.held_for())
    }

    /// As [`Shared::release`], by a poll and with a delay of its own: it does not wait for the end of the polls. A message that can
    /// lose few receives more and could not be sent anew stays away for longer than most outages last. One with its last receive comes back
    /// to the caller: to go back to the queue would be its death.
    pub(crate) async fn release_after(
        &self,
        mut claim: Box<Claim>,
        why: &'static str,
        delay: Duration,
    ) -> Option<Box<Claim>> {
        if self.try_to_renew(&mut claim, delay).await {
            self.count_release(claim.message.identity(), why, delay);
            self.done(claim);
            return None;
        }
        if self.has_last_receive(&claim) {
            return Some(claim);
        }
        let is_spared = claim.message.receive_count > SUSPICIOUS_RECEIVES;
        let delay = if is_spared { self.least_delay(&claim).max(delay) } else { delay };
        self.count_release(claim.message.identity(), why, delay);
        self.return_to_queue(claim, delay);
        None
    }

    /// Whether a message of a standard queue becomes a dead letter if it comes back. One of a FIFO queue cannot be sent anew, so nothing is done
    /// about it.
    fn has_last_receive(&self, claim: &Claim) -> bool {
        let limit = self.core.queue.receive_limit().unwrap_or(USUAL_RECEIVES);
        claim.message.receive_count >= limit && !self.core.queue.is_fifo()
    }

    fn count_release(&self, id: &str, why: &'static str, delay: Duration) {
        count(&self.core.monitor.counters().released, 1);
        tracing::info!(%id, why, delay_ms = delay.as_millis(), "message released without an attempt");
    }

    /// Gives back a message, which comes back after the delay. At a stop it waits until no poll is open: one of this worker would
    /// receive the message again, which would cost it another receive.
    ///
    /// Before the stop, one with its last receive that could not be sent anew comes back to the caller: to go back to the queue would be its
    /// death.
    pub(crate) async fn give_back(&self, mut claim: Box<Claim>, delay: Duration) -> Result<(), Box<Claim>> {
        if self.stop.is_cancelled() {
            self.polls_ended.cancelled().await;
        }
        // To send it anew may take a minute, in which it must hold up nobody.
        (claim.reservation, claim.probe, claim.caution) = (None, None, None);
        if self.try_to_renew(&mut claim, delay).await {
            self.done(claim);
        } else if self.has_last_receive(&claim) && claim.is_held() && !self.stop.is_cancelled() {
            return Err(claim);
        } else {
            self.return_to_queue(claim, delay);
        }
        Ok(())
    }

    /// As [`Shared::renew`], and tried again: a message that goes back as it is stays away for many minutes, which one failed call is no
    /// reason for. With its last receive that would be its death, so it is tried for longer, at a stop until the grace ends: outages of the
    /// queue pass.
    pub(crate) async fn try_to_renew(&self, claim: &mut Claim, delay: Duration) -> bool {
        let (mut failures, begun) = (0, Instant::now());
        loop {
            claim.catch_up();
            match self.try_renew(claim, delay).await {
                Ok(is_sent) => return is_sent,
                Err(_) => failures += 1,
            }
            // Meanwhile it may have come again, with its last receive.
            claim.catch_up();
            if !claim.lease.is_held() || self.abandon.is_cancelled() {
                return false;
            }
            let is_stopping = self.stop.is_cancelled();
            let is_worth_more = self.has_last_receive(claim) && (is_stopping || !self.is_hopeless());
            if failures >= TRIES && !(is_worth_more && (is_stopping || begun.elapsed() < LAST_TRIES)) {
                if is_worth_more {
                    *self.unsendable() = Some(Instant::now());
                }
                return false;
            }
            self.pause(failures).await;
        }
    }

    /// Waits before a call that has failed so often is made again, until the grace of the stop ends.
    pub(crate) async fn pause(&self, failures: u32) {
        tokio::select! {
            () = tokio::time::sleep(Backoff::CALLS.delay(failures)) => {}
            () = self.abandon.cancelled() => {}
        }
    }

    fn unsendable(&self) -> MutexGuard<'_, Option<Instant>> {
        self.unsendable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_hopeless(&self) -> bool {
        self.unsendable().is_some_and(|since| since.elapsed() < HOPELESS)
    }

    fn return_to_queue(&self, claim: Box<Claim>, delay: Duration) {
        // One second is kept back, because SQS counts in seconds.
        let longest = MAX_HIDDEN.saturating_sub(claim.held_for()).saturating_sub(Duration::from_secs(1));
        let delay = delay.min(longest);
        self.outcomes.push(Outcome::Return { lease: claim.end(), delay });
    }

    /// Sends a message anew, to come after the delay, if few receives are left to it and that breaks no order. Says whether a
    /// copy was sent; the message itself is then to be deleted.
    pub(crate) async fn renew(&self, claim: &Claim, delay: Duration) -> bool {
        self.try_renew(claim, delay).await.unwrap_or(false)
    }

    /// One call, which ends soon after the grace of the stop.
    async fn try_renew(&self, claim: &Claim, delay: Duration) -> Result<bool, QueueError> {
        if claim.message.receive_count < SUSPICIOUS_RECEIVES {
            return Ok(false);
        }
        let attempts = Attempts { failed: claim.certain_attempts(), first: claim.first_received() };
        // In a box, because it is rare, and the task of every message would hold it.
        let renewing = Box::pin(self.core.queue.renew(&claim.message, attempts, delay));
        let late = async {
            self.abandon.cancelled().await;
            tokio::time::sleep(LAST_CALL).await;
        };
        let renewed = tokio::select! {
            renewed = renewing => renewed,
            () = late => return Ok(false),
        };
        let is_sent = renewed.inspect_err(|error| {
            let (id, help) = (claim.message.identity(), "allow the role `sqs:SendMessage` on this queue");
            tracing::warn!(id, %error, help, "a message whose receives are used up could not be sent anew");
        })?;
        if is_sent {
            *self.unsendable() = None;
            count(&self.core.monitor.counters().renewed, 1);
            tracing::info!(id = %claim.message.identity(), "message sent anew, because its receives are used up");
        }
        Ok(is_sent)
    }

    /// As [`Shared::done`], with a call of its own: a kill before a batch is full would leave the message beside its copy.
    pub(crate) async fn done_at_once(&self, mut claim: Box<Claim>) {
        claim.catch_up();
        let (id, receipt) = (claim.run.id().clone(), claim.lease.receipt().clone());
        self.core.finished.remember(&id);
        count(&self.core.monitor.counters().delete_calls, 1);
        let deleted = self.core.queue.delete(std::slice::from_ref(&receipt)).await;
        let lease = claim.end();
        // If it came again meanwhile, SQS may have deleted nothing.
        if deleted.is_ok_and(|refused| refused.is_empty()) && *lease.receipt() == receipt {
            self.core.finished.forget(&id);
        } else {
            self.outcomes.push(Outcome::Delete { id, lease });
        }
    }

    /// Has a message deleted that is done. Until the queue has confirmed it, the message is not handled again.
    pub(crate) fn done(&self, claim: Box<Claim>) {
        let id = claim.run.id().clone();
        self.core.finished.remember(&id);
        self.outcomes.push(Outcome::Delete { id, lease: claim.end() });
    }
}
