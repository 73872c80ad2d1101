//! One transaction for a handler's work, the record that the message is handled, and the messages that the handler sends.

pub(crate) mod guard;
mod inbox;
pub(crate) mod postgres;
mod slot;
#[cfg(feature = "sqlserver")]
pub(crate) mod sqlserver;
