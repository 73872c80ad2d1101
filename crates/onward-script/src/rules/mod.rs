//! The rules, one file each. A rule about the folder checks all names; a rule about a script checks one text.

pub(crate) mod content;
pub(crate) mod contract;
#[cfg(feature = "postgres")]
mod data;
pub(crate) mod lint;
pub(crate) mod numbers;
pub(crate) mod repeatable;
pub(crate) mod schema;
pub(crate) mod sealed;
pub(crate) mod shared_objects;
#[cfg(feature = "postgres")]
pub(crate) mod squawk;
pub(crate) mod syntax;
pub(crate) mod transaction;
pub(crate) mod unexpected_file;

use std::cell::OnceCell;

#[cfg(feature = "postgres")]
use squawk_syntax::{Parse, SourceFile};

use crate::directive::Directives;
use crate::lexer::Token;
use crate::statement::{self, Statement};

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
    statements: OnceCell<Vec<Statement>>,
    /// The tree of a script of PostgreSQL; none if the parser could not handle the text. Two rules ask for it.
    #[cfg(feature = "postgres")]
    parse: OnceCell<Option<Parse<SourceFile>>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        path: &'a str,
        text: &'a str,
        tokens: &'a [Token],
        is_draft: bool,
        directives: &'a Directives,
    ) -> Self {
        Self {
            path,
            text,
            tokens,
            is_draft,
            directives,
            statements: OnceCell::new(),
            #[cfg(feature = "postgres")]
            parse: OnceCell::new(),
        }
    }

    /// Its statements, if it is a script of PostgreSQL. Several rules ask for them.
    pub(crate) fn statements(&self) -> &[Statement] {
        self.statements.get_or_init(|| statement::split(self.text, self.tokens))
    }
}
