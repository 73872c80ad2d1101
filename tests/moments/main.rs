//! The three moments, driven as a user drives them: `cargo build` of a project, the built binary, its output.

mod api;
mod bad_input;
mod build;
mod console;
mod deploy;
mod docs;
mod gate;
mod imports;
mod launch;
mod production;
mod queue_start;
mod redrive;
mod script;
#[cfg(target_os = "linux")]
mod service;
mod stops;
mod support;
mod template;
mod tidy;
mod worker;
