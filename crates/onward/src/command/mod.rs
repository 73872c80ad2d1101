//! The commands, one file each: parse, call, print. Nothing below imports them.

pub(crate) mod adopt;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod migrate;
mod plan;
pub(crate) mod queue;
#[cfg(feature = "local")]
pub(crate) mod rebuild;
#[cfg(feature = "local")]
pub(crate) mod script;
pub(crate) mod status;
