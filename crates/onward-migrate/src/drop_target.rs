/// The mark that `rebuild` leaves on a database, so that the next one may drop it without a confirmation.
pub(crate) const MARK: &str = "onward: development database";

/// A database to drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropTarget {
    /// Its name.
    pub name: String,
    /// Whether it carries the mark of a development database.
    pub is_marked: bool,
}
