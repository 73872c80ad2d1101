use std::ops::Deref;

use onward_worker::{Failure, Message};
use serde::de::DeserializeOwned;

use crate::database::Database;
use crate::inbox::Transaction;

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
    pub(crate) transaction: Option<Transaction>,
    /// The inbox has the message already.
    pub(crate) was_handled: bool,
}

/// What a handler may ask for in its arguments: [`Json`], [`State`], [`PgTx`](crate::PgTx), the [`Message`] itself.
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
    /// A failure that becomes the handler's: a message that does not decode is rejected.
    fn from_message(delivery: &mut Delivery<'_, S>) -> impl Future<Output = Result<Self, Failure>> + Send;
}

/// The message's body, decoded; one that does not decode is rejected, because it never will.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send, S: Sync> FromMessage<S> for Json<T> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        decode(&delivery.message.body).map(Self)
    }
}

fn decode<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| Failure::reject(format!("the body does not decode: {error}")))
}

/// The app's state, as its set-up returned it.
#[derive(Debug, Clone, Copy)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync> FromMessage<S> for State<S> {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        Ok(Self(delivery.state.clone()))
    }
}

impl<S: Sync> FromMessage<S> for Message {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
        Ok(delivery.message.clone())
    }
}

/// How often the message has been received, this time counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl Deref for Attempt {
    type Target = u32;

    fn deref(&self) -> &u32 {
        &self.0
    }
}

impl<S: Sync> FromMessage<S> for Attempt {
    async fn from_message(delivery: &mut Delivery<'_, S>) -> Result<Self, Failure> {
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
