//! Delivers business messages to external HTTP services: scripts, one queue, one handler.

mod deliver;
mod http;

use std::process::ExitCode;

fn main() -> ExitCode {
    onward::App::new(onward::scripts!(), deliver::setup)
        .handler("deliveries", deliver::deliver)
        .example(r#"{"destination": "echo", "body": {"hello": "world"}}"#)
        .run()
}
