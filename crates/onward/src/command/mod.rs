//! The commands, a file each.

pub(crate) mod adopt;
pub(crate) mod doctor;
pub(crate) mod migrate;
pub(crate) mod queue;
#[cfg(feature = "local")]
pub(crate) mod rebuild;
#[cfg(feature = "local")]
pub(crate) mod script;
pub(crate) mod service;
#[cfg(feature = "local")]
pub(crate) mod squash;
pub(crate) mod status;
