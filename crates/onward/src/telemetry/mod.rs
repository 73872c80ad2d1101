//! What the app reports about itself: its log, its metrics, its traces.

pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "otel")]
pub(crate) mod otel;
