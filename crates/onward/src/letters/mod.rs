//! The messages of a queue and its dead letters, for a person: count, look, group, redrive and delete. The command line and the
//! console show the same.

pub(crate) mod backlog;
pub(crate) mod client;
pub(crate) mod counts;
pub(crate) mod delete;
pub(crate) mod groups;
mod held;
pub(crate) mod letter;
pub(crate) mod look;
pub(crate) mod redrive;
pub(crate) mod selection;
pub(crate) mod send;
