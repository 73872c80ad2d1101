//! The outbox: the table that handlers write to in their transactions, and the relay that publishes it.

mod pauses;
pub(crate) mod relay;
mod table;

#[cfg(feature = "local")]
pub(crate) use self::table::Written;
pub(crate) use self::table::{Outbox, Rows};
