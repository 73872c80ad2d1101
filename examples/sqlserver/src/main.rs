//! The starter on SQL Server: scripts, one queue, one handler.

mod deliver;
// The starter on PostgreSQL has the same.
#[path = "../../../src/http.rs"]
mod http;

use std::num::NonZeroU32;
use std::process::ExitCode;

use onward::{App, BreakerByKey, LimitByKey, Queue};

use crate::deliver::{DeliveryRequest, Outbound};

/// The queue and what is in it.
const DELIVERIES: Queue<DeliveryRequest> = Queue::new("deliveries");

/// How many requests one destination gets at once, so that a slow one leaves handlers for the others.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).expect("is not 0");

fn app() -> App<Outbound> {
    let deliveries = DELIVERIES
        .handler(deliver::deliver)
        .layer(LimitByKey::new(deliver::destination).at_once(AT_ONCE))
        .layer(BreakerByKey::new(deliver::destination));
    App::new(onward::scripts!(), deliver::setup)
        .queue(deliveries)
        .example(r#"{"destination": "echo", "body": {"hello": "world"}}"#)
}

fn main() -> ExitCode {
    app().run()
}
