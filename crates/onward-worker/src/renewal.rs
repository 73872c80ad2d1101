use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{QueueError, QueueErrorKind};
use crate::leases::LeaseId;
use crate::ledger::count;
use crate::queue::Queue;
use crate::shared::Core;

/// How many calls that extend leases may be on their way at once.
const CONCURRENT_CALLS: usize = 8;

/// The longest such call: one that hangs must not make the next attempt late.
const MAX_CALL: Duration = Duration::from_secs(5);

/// Extends leases in batches as they become due, until it is dropped.
pub(crate) async fn run<Q: Queue>(core: Arc<Core<Q>>) {
    let mut extending = FuturesUnordered::new();
    loop {
        let sooner = core.leases.sooner();
        if extending.len() == CONCURRENT_CALLS {
            extending.next().await;
        }
        let next = match core.leases.take_due() {
            Ok(due) => {
                extending.push(extend(&core, due));
                continue;
            }
            Err(next) => next,
        };
        tokio::select! {
            Some(()) = extending.next() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = sooner => {}
        }
    }
}

async fn extend<Q: Queue>(core: &Core<Q>, due: Vec<LeaseId>) {
    let (leases, terms) = core.leases.terms(&due, &core.options);
    if terms.is_empty() {
        return;
    }
    count(&core.monitor.counters().visibility_calls, 1);
    let asked = Instant::now();
    let limit = MAX_CALL.min(core.options.visibility / 4);
    let hung = || Err(QueueError::new(QueueErrorKind::Network, "the call did not end in time"));
    match timeout(limit, core.queue.change_visibility(&terms)).await.unwrap_or_else(|_| hung()) {
        Ok(refused) => {
            core.leases.answered();
            for (index, (lease, (_, term))) in leases.into_iter().zip(&terms).enumerate() {
                match refused.iter().find(|refused| refused.index == index) {
                    None => core.leases.extended(lease, asked, *term),
                    Some(refused) if refused.is_permanent => {
                        // It was acknowledged meanwhile, or another worker has it: both end the lease.
                        tracing::debug!(reason = %refused.reason, "a lease could not be extended");
                        core.leases.remove(lease);
                    }
                    Some(_) => core.leases.postpone(lease),
                }
            }
        }
        Err(error) => {
            count(&core.monitor.counters().failed_calls, 1);
            tracing::warn!(%error, messages = terms.len(), "leases could not be extended; the call is made again");
            core.leases.unanswered(&leases);
            for lease in leases {
                core.leases.postpone(lease);
            }
        }
    }
}
