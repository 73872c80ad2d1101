use onward_worker::{Failure, Message};

use crate::database::Database;
use crate::extract::{Delivery, FromMessage};

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
    fn call(
        &self,
        queue: &'static str,
        message: Message,
        state: S,
        database: Database,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
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
            #[allow(unused_mut, non_snake_case)]
            async fn call(
                &self,
                queue: &'static str,
                message: Message,
                state: S,
                database: Database,
            ) -> Result<(), Failure> {
                let mut delivery = Delivery {
                    message: &message,
                    state: &state,
                    database: &database,
                    queue,
                    transaction: None,
                    was_handled: false,
                };
                $(let $argument = match $argument::from_message(&mut delivery).await {
                    Ok(argument) => argument,
                    Err(_) if delivery.was_handled => {
                        tracing::info!("handled before: deleted without running the handler");
                        return Ok(());
                    }
                    Err(failure) => return Err(failure),
                };)*
                let transaction = delivery.transaction.take();
                let outcome = self($($argument),*).await;
                match transaction {
                    Some(transaction) => transaction.settle(outcome, &database.wake).await,
                    None => outcome,
                }
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
