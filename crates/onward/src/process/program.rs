//! The program's name in messages: each project has its own.

use std::sync::OnceLock;

use onward_script::of_program;

static NAME: OnceLock<String> = OnceLock::new();

/// Sets the name once, before anything is said.
pub(crate) fn set(name: &str) {
    let _ = NAME.set(name.to_owned());
}

/// The name.
pub(crate) fn name() -> &'static str {
    NAME.get().map_or("app", String::as_str)
}

/// A message whose commands are those of this program: the libraries below write them as those of `app`.
pub(crate) fn named(message: &str) -> String {
    of_program(message, name())
}
