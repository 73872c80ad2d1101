use onward_migrate::{JournalEntry, Status};

/// What the database says of its schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub status: Status,
    pub journal: Vec<JournalEntry>,
}
