//! The configuration: the settings, and the database and queues that they name.

pub(crate) mod context;
pub(crate) mod database_url;
pub(crate) mod destinations;
pub(crate) mod identity;
#[cfg(feature = "local")]
pub(crate) mod local;
pub(crate) mod permissions;
pub(crate) mod queues;
pub(crate) mod settings;
pub(crate) mod sqs;
