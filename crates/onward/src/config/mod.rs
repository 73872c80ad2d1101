//! The configuration: what was set, and which database and queues it means.

pub(crate) mod context;
pub(crate) mod database_url;
pub(crate) mod identity;
#[cfg(feature = "local")]
pub(crate) mod local;
pub(crate) mod queues;
pub(crate) mod settings;
pub(crate) mod sqs;
