//! The commands, a file each.

pub(crate) mod migrate;
pub(crate) mod queue;
#[cfg(feature = "local")]
pub(crate) mod script;
pub(crate) mod status;
