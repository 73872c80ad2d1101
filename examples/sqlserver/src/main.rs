//! The starter on SQL Server: scripts, one queue, one handler.

mod deliver;
// The starter on PostgreSQL has the same.
#[path = "../../../src/http.rs"]
mod http;

use std::process::ExitCode;

fn main() -> ExitCode {
    onward::App::new(onward::scripts!(), deliver::setup)
        .handler("deliveries", deliver::deliver)
        .example(r#"{"destination": "echo", "body": {"hello": "world"}}"#)
        .run()
}
