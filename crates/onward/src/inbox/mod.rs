//! The inbox over time: its rows are deleted when their messages cannot come any more.

pub(crate) mod pruning;
mod retention;
mod table;

pub use self::retention::Retention;
