use std::ops::Range;

/// What the server's parser would refuse, or what is probably a slip of the hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its bytes in the script.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Whether it is only probable.
    pub is_doubtful: bool,
}
