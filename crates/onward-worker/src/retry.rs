//! When a message that failed is tried again, and when it is given up. Pure: times and counts go in, a decision comes out.

use std::time::Duration;

use crate::handler::FailureKind;
use crate::options::Options;

/// What becomes of a message whose attempt has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is tried again after the delay.
    Again(Duration),
    /// It goes to the dead-letter queue, because its handler says so.
    Reject,
    /// It goes to the dead-letter queue, because its budget is used up.
    GiveUp,
}

/// The failed attempts of a message, the last one counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Failed {
    /// All that are known. A receive counts as one, and not each was one: the message may have gone back before it began.
    pub all: u32,
    /// Those that were made for certain: under this claim, and under those of the messages that it is a copy of.
    pub certain: u32,
}

/// How many attempts are made for certain before a message is given up, where its budget allows so many.
const LEAST_CERTAIN: u32 = 3;

/// How many times its budget of attempts a message has where fewer are certain: each may be made under a claim of its own.
const MOST: u32 = 3;

/// Decides by the kind of the failure, the failed attempts and the time since the first receive.
pub(crate) fn next(options: &Options, kind: FailureKind, failed: Failed, age: Duration) -> Next {
    let (attempts, budget) = (failed.all, options.budget);
    let is_certain = failed.certain >= budget.attempts.min(LEAST_CERTAIN)
        || attempts >= budget.attempts.saturating_mul(MOST);
    let is_used_up = budget.is_used_up(attempts, age) && is_certain;
    match kind {
        FailureKind::Reject => Next::Reject,
        FailureKind::Undecodable if age >= options.undecodable => Next::Reject,
        FailureKind::Undecodable => {
            let rest = options.undecodable.saturating_sub(age);
            Next::Again(options.backoff().delay(attempts).min(rest))
        }
        FailureKind::Postpone(delay) => Next::Again(delay.min(options.max_backoff)),
        _ if is_used_up => Next::GiveUp,
        // What a destination asks for is at least waited, and never longer than our own longest delay. Zero would be a busy loop.
        FailureKind::RetryAfter(delay) => {
            Next::Again(delay.max(options.backoff().delay(1)).min(options.max_backoff))
        }
        // What has not failed here for long is tried again soon: most of its receives may not have been attempts.
        FailureKind::Retry if budget.is_used_up(attempts, age) => {
            Next::Again(options.backoff().delay(failed.certain))
        }
        FailureKind::Retry => Next::Again(options.backoff().delay(attempts)),
    }
}

/// With so many receives and no attempt under this claim a message may be one that kills the process.
pub(crate) const SUSPICIOUS_RECEIVES: u32 = 3;

/// How long a message may wait in this process for a handler. The worker does not ask for what would wait longer, and gives
/// back what has waited longer, so that another worker can have it.
pub(crate) const MAX_HANDLER_WAIT: Duration = Duration::from_secs(1);

/// How long a message waits for a handler before it goes back. It waits longer after each receive, because to go back costs
/// it another one: its five receives last for more than an hour behind slow messages.
pub(crate) fn patience(receive_count: u32) -> Duration {
    MAX_HANDLER_WAIT.saturating_mul(8_u32.saturating_pow(receive_count.saturating_sub(1)))
}

/// How many receives a queue is taken to allow where its redrive policy is not known.
pub(crate) const USUAL_RECEIVES: u32 = 5;

/// How much time lies at least between two receives of a message of a standard queue that goes back. It grows so steeply that
/// restarts and a lack of room during an outage do not use up its receives before it is sent anew. Where the queue allows more of them than is
/// usual, or any number, it grows later.
pub(crate) fn least_interval(receive_count: u32, most: Option<u32>) -> Duration {
    let most = most.unwrap_or(USUAL_RECEIVES).max(USUAL_RECEIVES);
    let factor = 4_f64.powf(growth(receive_count, most).clamp(0.0, 4.0));
    Duration::from_secs(10).mul_f64(factor).min(Duration::from_secs(900))
}

/// The same in a FIFO queue, whose messages cannot be sent anew. All its receives together last for more than an hour of
/// restarts, so the more it allows the shorter is each interval. They do not last longer, because a group waits as long after the
/// outage is over.
pub(crate) fn least_interval_in_fifo(receive_count: u32, most: Option<u32>) -> Duration {
    let most = most.unwrap_or(USUAL_RECEIVES).max(1);
    let factor = 8_f64.powf(growth(receive_count, most).min(3.0));
    Duration::from_secs(60).mul_f64(factor).min(Duration::from_secs(1800))
}

/// How many receives came before this one, where all that the queue allows count as many as is usual.
fn growth(receive_count: u32, most: u32) -> f64 {
    f64::from(receive_count) * f64::from(USUAL_RECEIVES) / f64::from(most) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_message_is_given_up_when_attempts_and_time_are_used_up() {
        let options = Options { budget: Budget { attempts: 3, time: HOUR }, ..Options::default() };
        let next = |kind, all, age| next(&options, kind, Failed { all, certain: all }, age);
        assert!(matches!(next(FailureKind::Retry, 99, HOUR / 2), Next::Again(_)));
        assert!(matches!(next(FailureKind::Retry, 2, 9 * HOUR), Next::Again(_)));
        assert_eq!(next(FailureKind::Retry, 3, HOUR), Next::GiveUp);
        assert_eq!(next(FailureKind::RetryAfter(HOUR), 3, HOUR), Next::GiveUp);
        assert_eq!(next(FailureKind::Reject, 1, Duration::ZERO), Next::Reject);
        assert!(matches!(next(FailureKind::Postpone(HOUR), 99, 99 * HOUR), Next::Again(_)));
    }

    #[test]
    fn receives_alone_do_not_use_up_the_budget() {
        let options = Options::default();
        let next = |all, certain| next(&options, FailureKind::Retry, Failed { all, certain }, 9 * HOUR);
        assert!(matches!(next(25, 1), Next::Again(delay) if delay <= options.backoff));
        assert!(matches!(next(25, 2), Next::Again(_)));
        assert_eq!(next(25, 3), Next::GiveUp);
        assert_eq!(next(30, 1), Next::GiveUp, "no message is tried for ever");
    }

    #[test]
    fn a_body_that_does_not_decode_is_rejected_when_a_deployment_is_over() {
        let failed = Failed { all: 99, certain: 99 };
        let next = |options: &Options, age| next(options, FailureKind::Undecodable, failed, age);
        assert_eq!(next(&Options::default(), Duration::ZERO), Next::Reject);
        let options = Options { undecodable: HOUR, ..Options::default() };
        assert!(matches!(next(&options, HOUR / 2), Next::Again(_)));
        assert_eq!(next(&options, HOUR - Duration::from_secs(1)), Next::Again(Duration::from_secs(1)));
        assert_eq!(next(&options, HOUR), Next::Reject);
    }

    #[test]
    fn a_delay_that_is_asked_for_is_cut_to_the_longest() {
        let options = Options::default();
        let asked = |delay| {
            let failed = Failed { all: 1, certain: 1 };
            next(&options, FailureKind::RetryAfter(delay), failed, Duration::ZERO)
        };
        assert_eq!(asked(12 * HOUR), Next::Again(options.max_backoff));
        assert!(matches!(asked(Duration::ZERO), Next::Again(delay) if delay >= options.backoff / 2));
        assert_eq!(asked(Duration::from_secs(30)), Next::Again(Duration::from_secs(30)));
    }

    #[test]
    fn a_message_waits_for_a_handler_longer_after_each_receive() {
        assert_eq!(patience(1), MAX_HANDLER_WAIT);
        assert!(patience(5) > HOUR && patience(u32::MAX) > HOUR);
    }

    #[test]
    fn the_receives_of_a_fifo_queue_last_through_an_hour_of_restarts() {
        for most in [None, Some(5), Some(20), Some(50), Some(1000)] {
            let last = most.unwrap_or(USUAL_RECEIVES);
            let lasts =
                |first| -> Duration { (first..last).map(|it| least_interval_in_fifo(it, most)).sum() };
            assert!(lasts(1) > HOUR, "{most:?}: {:?}", lasts(1));
            // A stop may come before the first attempt, and the first return is then at once.
            assert!(lasts(2) > HOUR, "{most:?}: {:?}", lasts(2));
            assert!(
                least_interval_in_fifo(u32::MAX, most) <= HOUR / 2,
                "a group waits no longer after the outage"
            );
        }
        assert!(least_interval_in_fifo(1, Some(50)) < Duration::from_secs(10));
    }

    #[test]
    fn receives_of_which_a_queue_allows_many_are_spared_later() {
        let seconds = |receives, most| least_interval(receives, most).as_secs();
        for few in [None, Some(1), Some(USUAL_RECEIVES)] {
            assert_eq!([1, 2, 3, 4].map(|receives| seconds(receives, few)), [10, 40, 160, 640], "{few:?}");
            assert_eq!(seconds(u32::MAX, few), 900, "{few:?}");
        }
        assert_eq!([1, 10, 20, 50].map(|receives| seconds(receives, Some(50))), [10, 10, 40, 900]);
        // Without a redrive policy no receive is the last.
        assert_eq!(seconds(1_000_000, Some(u32::MAX)), 10);
    }
}
