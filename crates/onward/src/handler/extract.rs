use std::ops::Deref;

use onward_worker::{Failure, Message};
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::handler::decode::decode;
use crate::handler::encoding::text;
use crate::handler::transaction::HandlerTransaction;

/// One delivery of a message, from which a handler gets its arguments.
pub struct Delivery<'a, S> {
    /// The message.
    pub message: &'a Message,
    /// The app's state.
    pub state: &'a S,
    /// The app's database.
    pub database: &'a Database,
    /// The queue's name.
    pub queue: &'static str,
    pub(crate) transaction: Option<Box<dyn HandlerTransaction>>,
}

impl<'a, S> Delivery<'a, S> {
    /// A delivery from which nothing was taken yet.
    pub(crate) fn of(
        message: &'a Message,
        state: &'a S,
        database: &'a Database,
        queue: &'static str,
    ) -> Self {
        Self { message, state, database, queue, transaction: None }
    }
}

/// Why an extractor prevents the handler from running. [`Failure`] becomes [`Stop::Fail`] with `?`, and so does any error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The message failed.
    Fail(Failure),
    /// The message is already done: the worker deletes it, and the handler does not run.
    Done,
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fail(error.into())
    }
}

/// A type that a handler may have as an argument: [`Json`], [`State`], [`PgTx`](crate::PgTx), the [`Message`] itself.
///
/// An app may define extractors of its own:
///
/// ```
/// use onward::{Delivery, Failure, FromMessage, Stop};
///
/// /// The tenant that a message belongs to.
/// struct Tenant(String);
///
/// impl<S: Sync> FromMessage<S> for Tenant {
///     async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
///         match delivery.message.attribute("tenant") {
///             Some("closed") => Err(Stop::Done),
///             Some(tenant) => Ok(Self(tenant.to_owned())),
///             None => Err(Failure::reject("the message names no tenant").into()),
///         }
///     }
/// }
///
/// async fn bill(Tenant(tenant): Tenant) -> Result<(), Failure> {
///     println!("a bill for {tenant}");
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "cannot be taken from a message",
    note = "a handler takes `Json<T>` (T: Deserialize), `State<S>` (S: the app's state), `PgTx` and `Message`"
)]
pub trait FromMessage<S>: Sized + Send {
    /// Takes the value from the delivery.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] fails the message; a message that does not decode is rejected. [`Stop::Done`] ends it as done.
    fn from_message(delivery: &mut Delivery<'_, S>) -> impl Future<Output = Result<Self, Stop>> + Send;
}

/// An argument that takes the body of a message of a `Queue<T>`. It is the last one of a handler.
///
/// An app may write one of its own, beside its [`FromMessage`]:
///
/// ```
/// use onward::{Body, Delivery, Failure, FromMessage, Queue, Stop};
///
/// /// A body of lines `name,amount`.
/// struct Csv(Vec<(String, i64)>);
///
/// impl<S: Sync> FromMessage<S> for Csv {
///     async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
///         let line = |line: &str| {
///             let (name, amount) = line.split_once(',').ok_or_else(|| Failure::reject("a line has no comma"))?;
///             Ok::<_, Failure>((name.to_owned(), amount.parse().map_err(Failure::reject)?))
///         };
///         Ok(Self(delivery.message.body.lines().map(line).collect::<Result<_, _>>()?))
///     }
/// }
///
/// impl Body<Csv> for Csv {}
///
/// const PAYMENTS: Queue<Csv> = Queue::new("payments");
///
/// async fn book(Csv(lines): Csv) -> Result<(), Failure> {
///     println!("{} lines", lines.len());
///     Ok(())
/// }
///
/// fn payments() -> onward::Consumer<()> {
///     PAYMENTS.handler(book)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the handler does not take the body of a queue of `{T}`",
    label = "its last argument is `{Self}`",
    note = "the last argument of a queue's handler is its body: `Json<{T}>`, `Sns<{T}>`, `EventBridge<{T}>`, \
            `CloudEvent<{T}>`, `RawBody` or `Message`"
)]
pub trait Body<T> {}

impl<T> Body<T> for Json<T> {}

impl<T> Body<T> for Message {}

/// The decoded body of the message. If the body does not decode, the worker rejects the message; with
/// [`Options::undecodable`](crate::Options::undecodable) it first tries again for a while.
///
/// ```
/// use onward::{Failure, Json};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     id: i64,
/// }
///
/// async fn take_order(Json(order): Json<Order>) -> Result<(), Failure> {
///     println!("order {}", order.id);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send, S: Sync> FromMessage<S> for Json<T> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(Self(decode(&text(delivery.message)?)?))
    }
}

/// The app's state, as its set-up returned it.
///
/// ```
/// use onward::{Failure, State};
///
/// async fn greet(State(greeting): State<String>) -> Result<(), Failure> {
///     println!("{greeting}");
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync> FromMessage<S> for State<S> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(Self(delivery.state.clone()))
    }
}

impl<S: Sync> FromMessage<S> for Message {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(delivery.message.clone())
    }
}

/// Which attempt this is, as far as this process knows; each receive before this one counts as one.
///
/// ```
/// use onward::{Attempt, Failure};
///
/// async fn give_up_early(attempt: Attempt) -> Result<(), Failure> {
///     if *attempt > 2 {
///         return Err(Failure::reject("two attempts are enough"));
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl Deref for Attempt {
    type Target = u32;

    fn deref(&self) -> &u32 {
        &self.0
    }
}

impl<S: Sync> FromMessage<S> for Attempt {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
        Ok(Self(delivery.message.attempt))
    }
}
