use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libtest_mimic::Trial;
use onward_worker::{Failure, Ledger, Message, Options, Sqs, run};
use tokio::sync::Notify;

use crate::proxy::{Proxy, Weather};
use crate::world::{Kind, World};

/// Every case for one kind of server.
pub(crate) fn all(kind: Kind) -> Vec<Trial> {
    let mut trials = vec![
        trial(kind, "nothing_is_lost_to_faults", false, nothing_is_lost_to_faults),
        trial(kind, "groups_stay_in_order_under_failures", true, groups_stay_in_order_under_failures),
        trial(kind, "a_long_handler_keeps_its_message", false, a_long_handler_keeps_its_message),
    ];
    // moto looks through all messages at each call. Under load its answers take longer than a lease.
    if kind != Kind::Moto {
        let stop = a_stop_under_load_leaves_nothing_in_flight;
        trials.extend([
            trial(
                kind,
                "everything_is_done_once_and_in_batches",
                false,
                everything_is_done_once_and_in_batches,
            ),
            trial(kind, "a_stop_under_load_leaves_nothing_in_flight", false, stop),
        ]);
    }
    trials
}

fn trial<F: Future<Output = ()> + 'static>(
    kind: Kind,
    name: &str,
    is_fifo: bool,
    case: fn(World) -> F,
) -> Trial {
    Trial::test(format!("{}::{name}", kind.name()), move || {
        let _turn = kind.turn();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        runtime.block_on(async {
            let case = case(World::create(kind, is_fifo).await);
            // moto takes half a minute alone, and several where the machine has other work.
            tokio::time::timeout(Duration::from_secs(400), case).await.expect("ends in time");
        });
        Ok(())
    })
}

/// The bodies that handlers have seen, and a notification for each.
#[derive(Clone, Default)]
struct Seen(Arc<(Mutex<HashMap<String, u32>>, Notify)>);

impl Seen {
    fn bodies(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, body: String) {
        *self.bodies().entry(body).or_default() += 1;
        self.0.1.notify_one();
    }

    async fn until(&self, count: usize) {
        while self.bodies().len() < count {
            self.0.1.notified().await;
        }
    }
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

/// Long enough that a server on a busy machine answers within it, also after a call that got no answer. Messages whose leases end
/// again and again are kept away for minutes.
const LEASE: Duration = Duration::from_secs(10);

fn options(concurrency: usize) -> Options {
    Options { concurrency, wait: Duration::from_secs(1), visibility: LEASE, ..Options::default() }
}

async fn everything_is_done_once_and_in_batches(world: World) {
    for (handlers, most_calls) in [(1, 0.25), (8, 0.25), (64, 0.25)] {
        world.send(&bodies(1_000), None).await;
        let seen = Seen::default();
        let log = seen.clone();
        let handler = move |message: Message| {
            let log = log.clone();
            async move {
                log.add(message.body);
                Ok(())
            }
        };
        let sqs = Sqs::new(world.client.clone(), &world.url);
        let ledger = run(sqs, handler, options(handlers), seen.until(1_000)).await.expect("works");
        assert_eq!((ledger.done, ledger.abandoned), (1_000, 0), "{ledger:?}");
        assert!(seen.bodies().values().all(|count| *count == 1), "each once");
        let calls = ledger.calls() as f64 / ledger.done as f64;
        assert!(calls <= most_calls, "{handlers} handlers: {calls} calls a message: {ledger:?}");
        assert_eq!(world.counts().await, (0, 0), "{handlers} handlers");
    }
}

async fn nothing_is_lost_to_faults(world: World) {
    world.send(&bodies(500), None).await;
    let weather = Weather { percent: 15, ..Weather::CLEAR };
    let proxy = Proxy::start(&world.endpoint, weather, 7).await;
    let sqs = Sqs::new(world.client_through(&proxy.endpoint), &world.url);
    let seen = Seen::default();
    let log = seen.clone();
    let handler = move |message: Message| {
        let log = log.clone();
        async move {
            if message.attempt == 1 && message.body.ends_with('3') {
                return Err(Failure::retry_after(Duration::from_secs(1), "once"));
            }
            log.add(message.body);
            Ok(())
        }
    };
    // A first poll that the credentials do not allow ends the worker; a service manager starts it again.
    let mut total = Ledger::default();
    while seen.bodies().len() < 500 {
        match run(sqs.clone(), handler.clone(), options(16), seen.until(500)).await {
            Ok(ledger) => total = ledger,
            Err(fault) => assert_eq!(total.done, 0, "only a first poll ends a worker: {fault}"),
        }
    }
    assert!(proxy.faults() > 5, "{} faults", proxy.faults());
    assert_eq!(seen.bodies().len(), 500, "{total:?}");
    // Messages that were done but could not be deleted in time are still there; a worker without faults takes them.
    let sqs = Sqs::new(world.client.clone(), &world.url);
    let (client, url) = (&world, ());
    let empty = async {
        let () = url;
        while client.counts().await != (0, 0) {}
    };
    run(sqs, handler, options(16), empty).await.expect("works");
    assert_eq!(world.counts().await, (0, 0));
}

async fn a_stop_under_load_leaves_nothing_in_flight(mut world: World) {
    const STOPS: usize = 50;
    for round in 0..STOPS {
        // A queue of its own for each stop: a message that several stops have given back is suspicious and may stay away.
        world.renew().await;
        world.send(&bodies(200), None).await;
        let seen = Seen::default();
        let log = seen.clone();
        let handler = move |message: Message| {
            let log = log.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                log.add(message.body);
                Ok(())
            }
        };
        let sqs = Sqs::new(world.client.clone(), &world.url);
        let ledger = run(sqs, handler, options(8), seen.until(20)).await.expect("works");
        assert_eq!((ledger.abandoned, ledger.redelivered), (0, 0), "round {round}: {ledger:?}");
        assert_eq!(ledger.received, ledger.done + ledger.released, "round {round}: {ledger:?}");
        assert_eq!(
            world.counts().await,
            (200 - ledger.done, 0),
            "round {round}: nothing in flight: {ledger:?}"
        );
    }
}

async fn groups_stay_in_order_under_failures(world: World) {
    let numbers: Vec<_> = (0..20).map(|number| format!("{number:02}")).collect();
    for group in ["a", "b", "c"] {
        world.send(&numbers, Some(group)).await;
    }
    let order: Arc<Mutex<HashMap<String, Vec<String>>>> = Arc::default();
    let (log, seen) = (order.clone(), Seen::default());
    let count = seen.clone();
    let handler = move |message: Message| {
        let (log, count) = (log.clone(), count.clone());
        async move {
            let group = message.group_id.clone().unwrap_or_default();
            if message.attempt == 1 && message.body.ends_with('7') {
                return Err(Failure::retry_after(Duration::ZERO, "once"));
            }
            log.lock().expect("nobody panics").entry(group.clone()).or_default().push(message.body.clone());
            count.add(format!("{group}{}", message.body));
            Ok(())
        }
    };
    // moto looks without a lock which groups are open, so two receives at once may share one.
    let in_turn = (world.kind == Kind::Moto).then_some("ReceiveMessage");
    let proxy = Proxy::start(&world.endpoint, Weather { in_turn, ..Weather::CLEAR }, 0).await;
    let sqs = Sqs::new(world.client_through(&proxy.endpoint), &world.url);
    let ledger = run(sqs, handler, options(8), seen.until(60)).await.expect("works");
    assert!(ledger.retried >= 6, "{ledger:?}");
    let order = order.lock().expect("nobody panics");
    for group in ["a", "b", "c"] {
        assert_eq!(order[group], numbers, "{group}: {ledger:?}");
    }
}

async fn a_long_handler_keeps_its_message(world: World) {
    world.send(&bodies(3), None).await;
    let seen = Seen::default();
    let log = seen.clone();
    let handler = move |message: Message| {
        let log = log.clone();
        async move {
            tokio::time::sleep(LEASE * 2 + Duration::from_secs(1)).await;
            log.add(message.body);
            Ok(())
        }
    };
    let sqs = Sqs::new(world.client.clone(), &world.url);
    let ledger = run(sqs, handler, options(8), seen.until(3)).await.expect("works");
    assert_eq!((ledger.received, ledger.done), (3, 3), "nobody else got it: {ledger:?}");
    assert!(ledger.visibility_calls >= 1, "{ledger:?}");
}
