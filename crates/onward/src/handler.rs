use onward_worker::{Failure, Message};

use crate::extract::FromMessage;

/// A plain async function whose arguments are taken from the message and the state:
///
/// ```ignore
/// async fn deliver(State(http): State<Http>, Json(order): Json<Order>) -> Result<(), Failure>
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no message handler",
    label = "not a handler",
    note = "a handler is an async fn of up to six arguments that implement `FromMessage`, and returns \
            `Result<(), Failure>`"
)]
pub trait Handler<S, Arguments>: Clone + Send + Sync + 'static {
    /// Handles one message.
    fn call(&self, message: Message, state: S) -> impl Future<Output = Result<(), Failure>> + Send;
}

macro_rules! handler {
    ($($argument:ident),*) => {
        impl<S, F, Fut, $($argument),*> Handler<S, ($($argument,)*)> for F
        where
            S: Send + Sync + 'static,
            F: Fn($($argument),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<(), Failure>> + Send,
            $($argument: FromMessage<S> + 'static,)*
        {
            #[allow(unused_variables, non_snake_case)]
            async fn call(&self, message: Message, state: S) -> Result<(), Failure> {
                $(let $argument = $argument::from_message(&message, &state)?;)*
                drop((message, state));
                self($($argument),*).await
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);
