use std::time::Duration;

use super::setting::{Setting, Value};

/// The options of the app as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AppOptions {
    /// How many connections to the database there may be; 0 is one for each handler and up to 16 more.
    pub connections: usize,
    /// How long a statement of a handler may take; zero is no limit.
    pub statement_timeout: Duration,
    /// How long the inbox keeps a row; zero is for ever.
    pub inbox_retention: Duration,
}

/// SQS counts in days, and no shorter time is safe for any queue.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// PostgreSQL has it in milliseconds as an integer of 32 bits.
const LONGEST_STATEMENT: Duration = Duration::from_millis(i32::MAX as u64);

const DATABASE: &str = "Database";

pub(crate) const APP_SETTINGS: [Setting<AppOptions>; 3] = [
    Setting {
        flag: "database-connections",
        field: "connections",
        group: DATABASE,
        help: "The most connections to the database; 0 is one for each handler and up to 16 more",
        value: Value::Size(|options| &mut options.connections),
    },
    Setting {
        flag: "statement-timeout",
        field: "statement_timeout",
        group: DATABASE,
        help: "How long a statement of a handler may take; 0 is no limit",
        value: Value::Time(|options| &mut options.statement_timeout),
    },
    Setting {
        flag: "inbox-retention",
        field: "inbox_retention",
        group: DATABASE,
        help: "How long the inbox keeps a row; 0 is for ever",
        value: Value::Time(|options| &mut options.inbox_retention),
    },
];

impl AppOptions {
    /// The field whose value is out of its range, and the range.
    pub(super) fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let is_in_range = [
            ("connections", self.connections <= 10_000, "0 to 10,000"),
            ("statement_timeout", self.statement_timeout <= LONGEST_STATEMENT, "0 to 24 days"),
            (
                "inbox_retention",
                self.inbox_retention.is_zero() || self.inbox_retention >= SHORTEST_RETENTION,
                "0, or 1 day and more",
            ),
        ];
        is_in_range.into_iter().find(|(_, holds, _)| !holds).map(|(field, _, range)| (field, range))
    }
}
