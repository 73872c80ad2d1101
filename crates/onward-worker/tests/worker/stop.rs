//! The stop.

use std::time::Duration;

use onward_worker::{Failure, MemoryQueue, Message, Options, run};
use tokio::time::{Instant, sleep};

use crate::support::{HOUR, MINUTE, SECOND, options, queue};

#[tokio::test(start_paused = true)]
async fn the_stop_releases_what_has_not_started_and_finishes_what_has() {
    let queue = MemoryQueue::new();
    queue.send("running");
    let late = queue.clone();
    let handler = |_: Message| async {
        sleep(Duration::from_secs(5)).await;
        Ok(())
    };
    let stop = async {
        sleep(SECOND).await;
        // The open poll will bring this one after the stop.
        tokio::spawn(async move {
            sleep(SECOND).await;
            late.send("late");
        });
    };
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.released, ledger.abandoned), (2, 1, 1, 0));
    assert_eq!((queue.len(), queue.in_flight()), (1, 0), "the late one is free for another worker");
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_is_abandoned_and_comes_back() {
    let queue = MemoryQueue::new();
    queue.send("stuck");
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let stop = sleep(SECOND);
    let begun = Instant::now();
    let ledger = run(queue.clone(), handler, options(), stop).await.expect("works");
    assert_eq!((ledger.received, ledger.done, ledger.abandoned), (1, 0, 1));
    assert_eq!(queue.len(), 1);
    let took = begun.elapsed();
    assert!(took < SECOND + options().grace + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_stop_abandons_is_visible_at_once() {
    let queue = queue();
    queue.send("stuck");
    let handler = |_: Message| std::future::pending::<Result<(), Failure>>();
    let ledger = run(queue.clone(), handler, Options::default(), sleep(SECOND)).await.expect("works");
    assert_eq!((ledger.abandoned, queue.in_flight(), queue.len()), (1, 0, 1));
}

/// A long message that each stop abandons must not use up its receives within some minutes of restarts.
#[tokio::test(start_paused = true)]
async fn what_is_abandoned_again_and_again_stays_away_for_longer() {
    let queue = queue();
    queue.send_to_group("a", "long");
    let begun = Instant::now();
    while begun.elapsed() < HOUR {
        let handler = |_: Message| async {
            sleep(2 * MINUTE).await;
            Ok::<_, Failure>(())
        };
        run(queue.clone(), handler, options(), sleep(MINUTE)).await.expect("works");
    }
    assert_eq!((queue.len(), queue.dead_letters()), (1, vec![]));
}
