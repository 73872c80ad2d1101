//! The rules, one file each. A rule about the folder checks all names; a rule about a script checks one text.

pub(crate) mod content;
pub(crate) mod contract;
pub(crate) mod lint;
pub(crate) mod numbers;
pub(crate) mod sealed;
#[cfg(feature = "postgres")]
pub(crate) mod squawk;
pub(crate) mod syntax;
pub(crate) mod transaction;
pub(crate) mod unexpected_file;

use crate::directive::Directives;
use crate::lexer::Token;

/// A script as the rules about one text see it.
pub(crate) struct Source<'a> {
    /// The path that messages show.
    pub path: &'a str,
    /// The normalised text.
    pub text: &'a str,
    /// Its tokens.
    pub tokens: &'a [Token],
    /// Whether it may still be edited: a rule that is newer than a sealed script must not ask for the impossible.
    pub is_draft: bool,
    /// What its header asks for.
    pub directives: &'a Directives,
}
