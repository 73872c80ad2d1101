use std::collections::HashSet;
use std::fmt;

use aws_sdk_sqs::types::Message;

use super::groups::reason_group;
use super::letter;
use crate::cli::Which;

/// Which dead letters an action is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    /// Those with a text in their body or their reason.
    Containing(String),
    /// Those of a group of reasons.
    Group(String),
    /// Those with these identities.
    Identities(HashSet<String>),
}

impl Selection {
    pub(crate) fn matches(&self, letter: &Message) -> bool {
        match self {
            Self::All => true,
            Self::Containing(text) => letter::contains(letter, text),
            Self::Group(group) => reason_group(letter) == *group,
            Self::Identities(identities) => identities.contains(letter::identity(letter)),
        }
    }
}

impl From<&Which> for Selection {
    fn from(Which { filter, group, id }: &Which) -> Self {
        match (filter, group) {
            (Some(text), _) => Self::Containing(text.clone()),
            (None, Some(group)) => Self::Group(group.clone()),
            (None, None) if id.is_empty() => Self::All,
            (None, None) => Self::Identities(id.iter().cloned().collect()),
        }
    }
}

/// The selection in words, behind "delete removes".
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every dead letter"),
            Self::Containing(text) => write!(f, "each dead letter with `{text}`"),
            Self::Group(reason) => write!(f, "each dead letter of the group `{reason}`"),
            Self::Identities(identities) => write!(f, "{} dead letter(s)", identities.len()),
        }
    }
}
