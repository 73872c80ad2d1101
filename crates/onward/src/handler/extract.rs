use std::ops::Deref;

use onward_worker::{Failure, Message};
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::handler::transaction::HandlerTransaction;

/// One delivery of a message, from which the arguments of a handler are taken.
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

/// Why an extractor keeps the handler from running. [`Failure`] becomes [`Stop::Fail`] with `?`, and so does any error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The message failed.
    Fail(Failure),
    /// The message is done already: it is deleted, and the handler does not run.
    Done,
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fail(error.into())
    }
}

/// What a handler may ask for in its arguments: [`Json`], [`State`], [`PgTx`](crate::PgTx), the [`Message`] itself.
///
/// An app may have extractors of its own:
///
/// ```
/// use onward::{Delivery, Failure, FromMessage, Stop};
///
/// /// The tenant that a message belongs to.
/// struct Tenant(String);
///
/// impl<S: Sync> FromMessage<S> for Tenant {
///     async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Stop> {
///         match delivery.message.attributes.get("tenant") {
///             Some(tenant) if tenant == "closed" => Err(Stop::Done),
///             Some(tenant) => Ok(Self(tenant.clone())),
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
    label = "not something that can be taken from a message",
    note = "a handler takes `Json<T>` (T: Deserialize), `State<S>` (S: the app's state), `PgTx` and `Message`"
)]
pub trait FromMessage<S>: Sized + Send {
    /// Takes it from the delivery.
    ///
    /// # Errors
    ///
    /// [`Stop::Fail`] fails the message; one that does not decode is rejected. [`Stop::Done`] ends it as done.
    fn from_message(delivery: &mut Delivery<'_, S>) -> impl Future<Output = Result<Self, Stop>> + Send;
}

/// The message's body, decoded. A body that does not decode is rejected, because it never will.
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
        Ok(Self(decode(&delivery.message.body)?))
    }
}

fn decode<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::reject(format!("the body does not decode: {error}")))
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

/// How often the message has been received, this time counted.
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
        Ok(Self(delivery.message.receive_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward_worker::FailureKind;

    #[test]
    fn a_body_that_does_not_decode_is_rejected() {
        let failure = decode::<serde_json::Value>("{\"a\": ").expect_err("is no JSON");
        assert_eq!(failure.kind, FailureKind::Reject);
        assert_eq!(failure.reason, "the body does not decode: EOF while parsing a value at line 1 column 6");
    }
}
