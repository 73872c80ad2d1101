//! A handler's work, the mark that the message is handled, and what the handler sends, in one transaction.

pub(crate) mod guard;
mod inbox;
pub(crate) mod postgres;
mod slot;
#[cfg(feature = "sqlserver")]
pub(crate) mod sqlserver;
