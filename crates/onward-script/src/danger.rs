use std::ops::Range;

/// What the lint finds in a script: something that locks or rewrites a table, or has surprising effects later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Danger {
    /// The name by which `-- onward: allow` knows it.
    pub rule: String,
    /// Its bytes in the script.
    pub span: Range<usize>,
    /// Why it matters.
    pub message: String,
    /// The safer way.
    pub help: String,
}
