//! What the app reports about itself: its log, its metrics, its traces.

pub(crate) mod known;
#[cfg(feature = "console")]
mod lines;
pub(crate) mod log;
pub(crate) mod metrics;
#[cfg(feature = "otel")]
pub(crate) mod otel;
pub(crate) mod prometheus;
