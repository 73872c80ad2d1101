//! The commands, one file each: parse, call, print. Nothing below imports them.

pub(crate) mod adopt;
pub(crate) mod doctor;
#[cfg(feature = "local")]
mod dump;
pub(crate) mod history;
#[cfg(feature = "local")]
mod import;
pub(crate) mod migrate;
mod plan;
pub(crate) mod queue;
#[cfg(feature = "local")]
pub(crate) mod rebuild;
#[cfg(feature = "local")]
mod schema;
#[cfg(feature = "local")]
pub(crate) mod script;
#[cfg(feature = "local")]
mod squash;
pub(crate) mod status;
