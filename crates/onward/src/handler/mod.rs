//! The parts around a user's handler: its arguments, its layers, and the service that an app makes of them.

pub(crate) mod batch;
pub(crate) mod breaker;
pub(crate) mod command;
mod decode;
mod encoding;
pub(crate) mod envelope;
pub(crate) mod errors;
pub(crate) mod extract;
pub(crate) mod job;
pub(crate) mod limit;
pub(crate) mod service;
pub(crate) mod state;
pub(crate) mod transaction;
pub(crate) mod work;

use onward_worker::{Failure, Message};

use crate::database::Database;
use crate::handler::extract::{Body, Delivery, FromMessage, Stop};

/// An async function of one to six arguments, which come from the message and the state.
///
/// ```
/// use onward::{Failure, Json, Message, State};
///
/// async fn print(State(prefix): State<String>, message: Message, Json(number): Json<u64>) -> Result<(), Failure> {
///     println!("{prefix}: {number} in message {}", message.id);
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message handler",
    label = "not a handler",
    note = "a handler is an async fn of one to six arguments that implement `FromMessage`, and returns \
            `Result<(), Failure>`; the body comes last, as `Json<T>` (T: Deserialize), and before it what else it takes: \
            `State<S>`, `PgTx`, `MssqlTx`, `Attempt` or `Message`"
)]
pub trait Handler<S, Arguments>: Clone + Send + Sync + 'static {
    /// Handles one message.
    fn call(
        &self,
        queue: &'static str,
        message: Message,
        state: S,
        database: Database,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The arguments of a handler that takes the bodies of a queue of `T`: the last one is a [`Body<T>`].
#[diagnostic::on_unimplemented(
    message = "the handler does not take the body of a queue of `{T}`",
    label = "its arguments are `{Self}`",
    note = "the last argument of a queue's handler is its body: `Json<{T}>`, `Sns<{T}>`, `EventBridge<{T}>`, \
            `CloudEvent<{T}>`, `RawBody` or `Message`"
)]
pub trait Takes<T> {}

macro_rules! takes {
    ($($argument:ident),*) => {
        impl<T, Last: Body<T>, $($argument),*> Takes<T> for ($($argument,)* Last,) {}
    };
}

takes!();
takes!(A);
takes!(A, B);
takes!(A, B, C);
takes!(A, B, C, D);
takes!(A, B, C, D, E);

macro_rules! handler {
    ($($argument:ident),*) => {
        impl<S, F, Fut, $($argument),*> Handler<S, ($($argument,)*)> for F
        where
            S: Send + Sync + 'static,
            F: Fn($($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<(), Failure>> + Send,
            $($argument: FromMessage<S> + 'static,)*
        {
            #[allow(unused_mut, non_snake_case)]
            async fn call(
                &self,
                queue: &'static str,
                message: Message,
                state: S,
                database: Database,
            ) -> Result<(), Failure> {
                let mut delivery = Delivery::of(&message, &state, &database, queue);
                let taken = async {
                    $(let $argument = $argument::from_message(&mut delivery).await?;)*
                    Ok(($($argument,)*))
                };
                let taken = taken.await;
                let transaction = delivery.transaction.take();
                let outcome = match taken {
                    Ok(($($argument,)*)) => self($($argument),*).await,
                    Err(Stop::Done) => {
                        tracing::info!("the message is already done: the handler does not run");
                        return Ok(());
                    }
                    // A body that does not decode costs no connection.
                    Err(Stop::Fail(failure)) => Err(failure),
                };
                match transaction {
                    Some(transaction) => transaction.end(outcome, &database.wake).await,
                    None => outcome,
                }
            }
        }
    };
}

handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);
