//! The three moments, driven as a user drives them: `cargo build` of a project, the built binary, its output.

mod api;
mod bad_input;
mod build;
mod console;
mod deploy;
mod docs;
mod imports;
mod launch;
mod production;
mod redrive;
mod script;
#[cfg(target_os = "linux")]
mod service;
mod support;
mod template;
mod tidy;
mod worker;
