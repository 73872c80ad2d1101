use onward_worker::Options;

use super::setting::{Setting, Value};

const HANDLERS: &str = "Handlers";
const ATTEMPTS: &str = "Attempts";
const QUEUE: &str = "Queue";
const BREAKER: &str = "When everything fails";

/// The options of the worker of a queue.
pub(crate) const SETTINGS: [Setting<Options>; 16] = [
    Setting {
        flag: "concurrency",
        field: "concurrency",
        group: HANDLERS,
        help: "How many messages are handled at once",
        value: Value::Size(|options| &mut options.concurrency),
    },
    Setting {
        flag: "handler-timeout",
        field: "handler_timeout",
        group: HANDLERS,
        help: "How long a handler may take for one message",
        value: Value::Time(|options| &mut options.handler_timeout),
    },
    Setting {
        flag: "stop-grace",
        field: "grace",
        group: HANDLERS,
        help: "How long running handlers have to end after the stop",
        value: Value::Time(|options| &mut options.grace),
    },
    Setting {
        flag: "budget-attempts",
        field: "budget.attempts",
        group: ATTEMPTS,
        help: "The attempts that a message has in any case",
        value: Value::Count(|options| &mut options.budget.attempts),
    },
    Setting {
        flag: "budget-time",
        field: "budget.time",
        group: ATTEMPTS,
        help: "The time after its first receive that a message has in any case",
        value: Value::Time(|options| &mut options.budget.time),
    },
    Setting {
        flag: "retry-backoff",
        field: "backoff",
        group: ATTEMPTS,
        help: "The delay before the second attempt; each later one doubles it",
        value: Value::Time(|options| &mut options.backoff),
    },
    Setting {
        flag: "retry-max-backoff",
        field: "max_backoff",
        group: ATTEMPTS,
        help: "The longest delay between two attempts",
        value: Value::Time(|options| &mut options.max_backoff),
    },
    Setting {
        flag: "undecodable-time",
        field: "undecodable",
        group: ATTEMPTS,
        help: "How long a body that does not decode is tried again before it is rejected",
        value: Value::Time(|options| &mut options.undecodable),
    },
    Setting {
        flag: "max-parked",
        field: "max_parked",
        group: ATTEMPTS,
        help: "How many messages wait in the process for their next attempt",
        value: Value::Size(|options| &mut options.max_parked),
    },
    Setting {
        flag: "poll-wait",
        field: "wait",
        group: QUEUE,
        help: "How long a poll waits for a message",
        value: Value::Time(|options| &mut options.wait),
    },
    Setting {
        flag: "batching-window",
        field: "batching_window",
        group: QUEUE,
        help: "How long messages and deletes are collected for one call; 0 turns it off",
        value: Value::Time(|options| &mut options.batching_window),
    },
    Setting {
        flag: "visibility-timeout",
        field: "visibility",
        group: QUEUE,
        help: "How long a receive hides a message before its lease is extended",
        value: Value::Time(|options| &mut options.visibility),
    },
    Setting {
        flag: "max-lease",
        field: "max_lease",
        group: QUEUE,
        help: "How long a worker may keep a message altogether",
        value: Value::Time(|options| &mut options.max_lease),
    },
    Setting {
        flag: "breaker-after",
        field: "breaker_after",
        group: BREAKER,
        help: "After how many failures without a success the worker stops receiving; 0 is never",
        value: Value::Count(|options| &mut options.breaker_after),
    },
    Setting {
        flag: "breaker-pause",
        field: "breaker_pause",
        group: BREAKER,
        help: "How long it then receives nothing; each failed attempt doubles it",
        value: Value::Time(|options| &mut options.breaker_pause),
    },
    Setting {
        flag: "breaker-longest",
        field: "breaker_longest",
        group: BREAKER,
        help: "The longest such pause",
        value: Value::Time(|options| &mut options.breaker_longest),
    },
];
