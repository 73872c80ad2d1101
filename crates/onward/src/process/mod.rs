//! The process: its exit code, its output, and its signals.

pub(crate) mod exit;
pub(crate) mod program;
#[cfg(windows)]
pub(crate) mod scm;
pub(crate) mod signal;
pub(crate) mod terminal;

/// The app has one TLS provider; a library that asks for the default gets it. Where the program has installed one, that stays.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
