use std::collections::HashSet;
use std::error::Error;
use std::fmt;

#[cfg(feature = "local")]
use onward_worker::sqs::queue_name;
use onward_worker::sqs::{answered, batches};
use onward_worker::{QueueError, is_fifo};
use serde::Serialize;

use crate::config::destinations::Destinations;
#[cfg(feature = "local")]
use crate::config::local::running_queues;
use crate::config::queues::{queue_url_of, queue_variable};
#[cfg(feature = "local")]
use crate::config::settings::{AppEnv, app_env, project};
use crate::config::sqs::client;
use crate::process::exit::{CommandError, Exit};
use crate::queue::Queue;
use crate::queue::addresses::Addresses;
use crate::queue::entry::rounds;
use crate::queue::outgoing::{Outgoing, Ready};

/// Sends messages outside a transaction. `Setup::producer` has one for the queues that the app works or declares with
/// [`App::sends_to`](crate::App::sends_to); in development it sends to the private queues.
///
/// A message is sent at least once. It carries an identity, the attribute `onward.id`, so that a receiver with an inbox handles a
/// second copy only once. A message that must be sent if, and only if, a transaction commits is sent with
/// [`PgTx::send`](crate::PgTx::send).
///
/// ```
/// use onward::{App, Failure, Json, Producer, Queue, Scripts, State};
///
/// const ORDERS: Queue<i64> = Queue::new("orders");
/// const INVOICES: Queue<i64> = Queue::new("invoices");
///
/// async fn take_order(State(producer): State<Producer>, Json(order): Json<i64>) -> Result<(), Failure> {
///     producer.send(&INVOICES, &order).await?;
///     Ok(())
/// }
///
/// fn run(scripts: Scripts) -> std::process::ExitCode {
///     App::new(scripts, |setup| async move { Ok(setup.producer()) })
///         .queue(ORDERS.handler(take_order))
///         .sends_to(INVOICES)
///         .run()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    addresses: Addresses,
    destinations: Destinations,
}

impl Producer {
    pub(crate) const fn new(addresses: Addresses, destinations: Destinations) -> Self {
        Self { addresses, destinations }
    }

    /// For a program that works no queue itself, for example a web server. `QUEUE_URL_NAME` is the address of each queue, as for an
    /// app. In development without these variables it sends to the private queues of the launch that runs in the same folder.
    ///
    /// ```no_run
    /// use onward::{Producer, Queue};
    ///
    /// const ORDERS: Queue<i64> = Queue::new("orders");
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let producer = Producer::from_env(&[ORDERS.name()]).await?;
    /// producer.send(&ORDERS, &7).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If an address is missing or malformed, or no launch is running.
    pub async fn from_env(queues: &[&str]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (urls, is_local) = addresses_of(queues)?;
        let Some(first) = urls.first() else { return Err("a producer needs the name of a queue".into()) };
        let client = client(first, is_local).await?;
        let addresses = Addresses::new(client, queues.iter().map(ToString::to_string).zip(urls));
        Ok(Self::new(addresses, Destinations::new(queues.iter().copied())))
    }

    /// Sends one message, and returns its identity.
    ///
    /// # Errors
    ///
    /// If SQS can never take the message, or did not say that it has taken it, or the queue is not declared.
    pub async fn send<'a, T: Serialize + 'a>(
        &self,
        queue: &Queue<T>,
        message: impl Into<Outgoing<'a, T>>,
    ) -> Result<String, SendError> {
        let mut sent = self.send_all(queue, [message.into()]).await?;
        Ok(sent.pop().expect("one was sent"))
    }

    /// Sends messages in batches of ten and returns their identities, in the same order.
    ///
    /// In a FIFO queue the messages of a group are sent in their order, and none behind one that was refused.
    ///
    /// # Errors
    ///
    /// If not all are sent. The error has the place and the reason of each that is not known to be sent; all others are sent. If
    /// SQS can never take one of them, or the queue is not declared, none is sent.
    pub async fn send_all<'a, T: Serialize + 'a, M: Into<Outgoing<'a, T>>>(
        &self,
        queue: &Queue<T>,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<String>, SendError> {
        let queue = queue.name();
        let (mut ready, mut refused) = (Vec::new(), Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            match Ready::new(queue, index, message.into()) {
                Ok(message) => ready.push(message),
                Err(unsendable) => {
                    refused.push(Unsent { index, reason: unsendable.reason, is_permanent: true });
                }
            }
        }
        let (ids, of) =
            (ready.iter().map(|message| message.id.clone()).collect(), ready.len() + refused.len());
        let unsent = if let Err(undeclared) = self.destinations.check(queue) {
            let reason = undeclared.to_string();
            refused.extend(ready.iter().map(|message| unsent(message, &reason, false)));
            refused
        } else if refused.is_empty() {
            self.send_ready(queue, ready).await
        } else {
            let reason = "not tried, because another one can never be sent";
            refused.extend(ready.iter().map(|message| unsent(message, reason, false)));
            refused
        };
        match unsent.is_empty() {
            true => Ok(ids),
            false => Err(SendError::new(queue, of, unsent)),
        }
    }

    /// Sends messages round by round, and returns those that are not known to be sent.
    async fn send_ready(&self, queue: &str, messages: Vec<Ready>) -> Vec<Unsent> {
        let mut failed = Vec::new();
        let url = match self.addresses.url(queue).await {
            Ok(url) => url,
            Err(error) => {
                return messages.iter().map(|message| unsent(message, &told(&error), false)).collect();
            }
        };
        let mut is_broken = false;
        let mut refused_groups = HashSet::new();
        for round in rounds(is_fifo(queue), messages, |message| message.group.clone()) {
            for batch in batches(&round, Ready::bytes) {
                let why_not = |message: &Ready| match () {
                    () if is_broken => Some("not tried, because a call before it failed"),
                    () if is_fifo(queue) && refused_groups.contains(&message.group) => {
                        Some("not tried, because one before it in its group was refused")
                    }
                    () => None,
                };
                let mut tried = Vec::new();
                for message in batch {
                    match why_not(message) {
                        Some(why) => failed.push(unsent(message, why, false)),
                        None => tried.push(message),
                    }
                }
                let refused = self.send_batch(&url, &tried).await;
                is_broken |= refused.is_err();
                for (message, reason, is_permanent) in refused.unwrap_or_else(|error| {
                    tried.iter().map(|message| (*message, told(&error), false)).collect()
                }) {
                    refused_groups.insert(message.group.clone());
                    failed.push(unsent(message, &reason, is_permanent));
                }
            }
        }
        failed
    }

    /// Returns those that SQS refused, each with its reason and whether SQS can never take it.
    async fn send_batch<'a>(
        &self,
        url: &str,
        batch: &[&'a Ready],
    ) -> Result<Vec<(&'a Ready, String, bool)>, QueueError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let entries = batch.iter().enumerate().map(|(at, message)| message.entry().at(at)).collect();
        let request = self.addresses.client.send_message_batch().queue_url(url).set_entries(Some(entries));
        let answer = answered(request.send()).await?;
        let taken: HashSet<_> = answer.successful().iter().map(|entry| entry.id().to_owned()).collect();
        let refused = batch.iter().enumerate().filter(|(at, _)| !taken.contains(&at.to_string()));
        let refused = refused.map(|(at, message)| {
            let said = answer.failed().iter().find(|failed| failed.id() == at.to_string());
            let reason = said.map(|said| format!("{}: {}", said.code(), said.message().unwrap_or_default()));
            let is_permanent = said.is_some_and(|said| said.sender_fault());
            (
                *message,
                reason.unwrap_or_else(|| "SQS did not say that it has taken it".to_owned()),
                is_permanent,
            )
        });
        Ok(refused.collect())
    }
}

fn unsent(message: &Ready, reason: &str, is_permanent: bool) -> Unsent {
    Unsent { index: message.index, reason: reason.to_owned(), is_permanent }
}

/// The URLs of queues, and whether they are those of a launch.
fn addresses_of(queues: &[&str]) -> Result<(Vec<String>, bool), CommandError> {
    #[cfg(feature = "local")]
    if app_env()? == AppEnv::Development && queues.iter().all(|name| queue_url_of(name).is_none()) {
        let running = running_queues(&project())?;
        let url = |name: &&str| {
            running.iter().find(|url| queue_name(url) == *name).cloned().ok_or_else(|| {
                let message = format!("the launch that runs here has no queue {name}");
                let help = "add it to the app with `App::queue` or `App::sends_to`";
                CommandError::new(Exit::Configuration, message, help)
            })
        };
        return Ok((queues.iter().map(url).collect::<Result<_, _>>()?, true));
    }
    let url = |name: &&str| {
        queue_url_of(name).ok_or_else(|| {
            let form = format!("https://sqs.REGION.amazonaws.com/ACCOUNT/{name}");
            let message = format!("{} is not set", queue_variable(name));
            CommandError::new(Exit::Configuration, message, format!("set it to {form}"))
        })
    };
    Ok((queues.iter().map(url).collect::<Result<_, _>>()?, false))
}

fn told(error: &QueueError) -> String {
    format!("{error} ({})", error.help())
}

/// Messages that are not known to be sent. A call that got no answer may have sent them all the same: send them again with the
/// same [`Outgoing::id`], and an inbox handles them once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    /// The queue's name.
    pub queue: String,
    /// Of how many messages.
    pub of: usize,
    /// Those that are not known to be sent, in their order.
    pub unsent: Vec<Unsent>,
}

/// A message that is not known to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Its place among the messages that were to be sent.
    pub index: usize,
    /// Why.
    pub reason: String,
    /// Whether SQS can never take it as it is.
    pub is_permanent: bool,
}

impl SendError {
    fn new(queue: &str, of: usize, mut unsent: Vec<Unsent>) -> Self {
        unsent.sort_by_key(|unsent| unsent.index);
        Self { queue: queue.to_owned(), of, unsent }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, of, unsent } = self;
        // Where some are never tried, the reason lies with those that were.
        let first = unsent.iter().find(|unsent| unsent.is_permanent).or_else(|| unsent.first());
        let (index, reason) = first.map_or((0, ""), |first| (first.index, first.reason.as_str()));
        match of {
            1 => write!(f, "the message to {queue} is not sent: {reason}"),
            _ => write!(
                f,
                "{} of {of} messages to {queue} are not sent; number {}: {reason}",
                unsent.len(),
                index + 1
            ),
        }
    }
}

impl Error for SendError {}

#[cfg(all(test, feature = "local"))]
mod tests {
    use std::time::Duration;

    use aws_sdk_sqs::types::MessageSystemAttributeName;
    use onward_local::LocalQueue;
    use onward_worker::{Attribute, MESSAGE_ID, TRACEPARENT};

    use super::*;

    const ORDERS: Queue<i64> = Queue::new("orders");
    const TEXTS: Queue<String> = Queue::new("texts");
    const LEDGER: Queue<String> = Queue::new("ledger.fifo");

    async fn producer(server: &LocalQueue) -> Producer {
        let mut known = Vec::new();
        for queue in [ORDERS.name(), TEXTS.name(), LEDGER.name()] {
            known.push((queue.to_owned(), server.create(queue).await.expect("is created")));
        }
        let client = client(&known[0].1, true).await.expect("a client is made");
        let destinations = Destinations::new(known.iter().map(|(name, _)| name.as_str()));
        Producer::new(Addresses::new(client, known), destinations)
    }

    async fn received(producer: &Producer, queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
        let url = producer.addresses.url(queue).await.expect("is known");
        let receive = producer.addresses.client.receive_message().queue_url(url).max_number_of_messages(10);
        let receive = receive.message_attribute_names("All");
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        receive.send().await.expect("is received").messages.unwrap_or_default()
    }

    #[tokio::test]
    async fn a_message_arrives_with_all_that_goes_along_with_it() {
        let server = LocalQueue::start(0).await.expect("a port is free");
        let producer = producer(&server).await;
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let order = Outgoing::new(&7).id("order-7").traceparent(trace);
        let order = order.attribute("tenant", Attribute::text("acme"));
        assert_eq!(producer.send(&ORDERS, order).await.expect("is sent"), "order-7");
        let all = received(&producer, "orders").await;
        let [message] = &all[..] else { panic!("one message: {all:?}") };
        assert_eq!(message.body(), Some("7"));
        let attribute = |name: &str| message.message_attributes().and_then(|all| all[name].string_value());
        assert_eq!(
            [MESSAGE_ID, TRACEPARENT, "tenant"].map(attribute),
            [Some("order-7"), Some(trace), Some("acme")]
        );

        let late = Outgoing::new(&8).delay(Duration::from_secs(900));
        producer.send(&ORDERS, late).await.expect("is sent");
        assert!(received(&producer, "orders").await.is_empty(), "it is hidden for 15 minutes");
    }

    #[tokio::test]
    async fn a_queue_that_is_not_declared_gets_nothing() {
        const ORDESR: Queue<i64> = Queue::new("ordesr");
        let server = LocalQueue::start(0).await.expect("a port is free");
        let url = server.create(ORDESR.name()).await.expect("is created");
        let producer = producer(&server).await;
        let error = producer.send(&ORDESR, &7).await.expect_err("is refused").to_string();
        assert!(
            error.contains("the queue `ordesr` is not declared (declared: orders, texts, ledger.fifo)"),
            "{error}"
        );
        let client = &producer.addresses.client;
        let received = client.receive_message().queue_url(url).send().await.expect("answers");
        assert!(received.messages().is_empty(), "it is there, and has nothing");
    }

    #[tokio::test]
    async fn many_are_sent_in_batches_that_sqs_takes_and_in_their_order() {
        let server = LocalQueue::start(0).await.expect("a port is free");
        let producer = producer(&server).await;
        let large: Vec<_> = (0..12).map(|_| "x".repeat(100_000)).collect();
        let ids = producer.send_all(&TEXTS, &large).await.expect("are sent");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 12, "each has an identity of its own");

        let entries: Vec<_> = (0..5).map(|number| number.to_string()).collect();
        let entries = entries.iter().map(|entry| Outgoing::new(entry).group("a"));
        producer.send_all(&LEDGER, entries).await.expect("are sent");
        let bodies: Vec<_> = received(&producer, "ledger.fifo").await.into_iter().map(|it| it.body).collect();
        assert_eq!(bodies, ["0", "1", "2", "3", "4"].map(|number| Some(format!("\"{number}\""))));

        // The queue recognises the second copy by its identity.
        let again = "again".to_owned();
        for _ in 0..2 {
            let entry = Outgoing::new(&again).group("b").id("entry-1");
            producer.send(&LEDGER, entry).await.expect("is taken");
        }
        let copies = received(&producer, "ledger.fifo").await;
        assert_eq!(copies.len(), 1);
    }

    #[tokio::test]
    async fn what_is_not_sent_is_named() {
        let server = LocalQueue::start(0).await.expect("a port is free");
        let producer = producer(&server).await;
        let texts = ["fine".to_owned(), "\u{FFFF}".to_owned(), "fine".to_owned()];
        let error = producer.send_all(&TEXTS, &texts).await.expect_err("one can never be sent");
        let said = "3 of 3 messages to texts are not sent; number 2: its body has a character that SQS does not take";
        assert_eq!(error.to_string(), said);
        let permanent: Vec<_> = error.unsent.iter().map(|unsent| unsent.is_permanent).collect();
        assert_eq!(permanent, [false, true, false]);
        assert!(received(&producer, "texts").await.is_empty(), "none is sent");

        const NOWHERE: Queue<i64> = Queue::new("nowhere");
        let addresses = Addresses::new(producer.addresses.client.clone(), []);
        let elsewhere = Producer::new(addresses, Destinations::new([NOWHERE.name()]));
        let error = elsewhere.send(&NOWHERE, &1).await.expect_err("there is no such queue");
        assert!(error.to_string().starts_with("the message to nowhere is not sent: "), "{error}");
        assert!(error.to_string().contains("create the queue"), "{error}");

        // An attribute that SQS refuses: only that message is not sent.
        let message = |number: &'static i64| match number {
            2 => Outgoing::new(number).attribute("AWS.own", Attribute::text("x")),
            _ => Outgoing::new(number),
        };
        let sent = producer.send_all(&ORDERS, [&1, &2, &3].map(message)).await;
        let error = sent.expect_err("one is refused");
        assert_eq!((error.of, error.unsent.len(), error.unsent[0].index), (3, 1, 1), "{error}");
        assert!(error.unsent[0].is_permanent, "{error:?}");
        let mut bodies: Vec<_> =
            received(&producer, "orders").await.into_iter().filter_map(|it| it.body).collect();
        bodies.sort();
        assert_eq!(bodies, ["1", "3"]);
    }
}
