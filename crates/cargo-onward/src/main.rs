//! `cargo onward`: what a developer does to a folder of SQL scripts. See `docs/parts.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    onward::cargo_onward()
}
