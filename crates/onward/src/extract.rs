use onward_worker::{Failure, Message};
use serde::de::DeserializeOwned;

/// What a handler may ask for in its arguments: [`Json`], [`State`], the [`Message`] itself.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "not something that can be taken from a message",
    note = "a handler takes `Json<T>` (T: Deserialize), `State<S>` (S: the app's state) and `Message`"
)]
pub trait FromMessage<S>: Sized + Send {
    /// Takes it from the message or the state.
    ///
    /// # Errors
    ///
    /// A failure that becomes the handler's: a message that does not decode is rejected.
    fn from_message(message: &Message, state: &S) -> Result<Self, Failure>;
}

/// The message's body, decoded; one that does not decode is rejected, because it never will.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send, S> FromMessage<S> for Json<T> {
    fn from_message(message: &Message, _: &S) -> Result<Self, Failure> {
        let decoded = serde_json::from_str(&message.body).map(Self);
        decoded.map_err(|error| Failure::reject(format!("the body does not decode: {error}")))
    }
}

/// The app's state, as its set-up returned it.
#[derive(Debug, Clone, Copy)]
pub struct State<S>(pub S);

impl<S: Clone + Send> FromMessage<S> for State<S> {
    fn from_message(_: &Message, state: &S) -> Result<Self, Failure> {
        Ok(Self(state.clone()))
    }
}

impl<S> FromMessage<S> for Message {
    fn from_message(message: &Message, _: &S) -> Result<Self, Failure> {
        Ok(message.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward_worker::FailureKind;

    #[test]
    fn a_body_that_does_not_decode_is_rejected() {
        let message = Message { body: "{\"a\": ".to_owned(), ..Message::default() };
        let failure = Json::<serde_json::Value>::from_message(&message, &()).expect_err("is no JSON");
        assert_eq!(failure.kind, FailureKind::Reject);
        assert_eq!(failure.reason, "the body does not decode: EOF while parsing a value at line 1 column 6");
    }
}
