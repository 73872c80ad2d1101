use std::ops::Range;

use super::fault::Fault;
use super::words::{RESERVED, STARTS};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind};
use crate::object::ObjectName;

/// The code of one batch: its tokens without comments, with what the rules ask of them again and again.
pub(super) struct Code<'a> {
    text: &'a str,
    tokens: Vec<&'a Token>,
    /// Each word in upper case; empty for what is no word.
    words: Vec<String>,
    /// How many parentheses are open at each token; an opening one is inside itself.
    depths: Vec<usize>,
    /// For each parenthesis the other one, if there is one.
    partners: Vec<Option<usize>>,
    /// For each token the parenthesis that it stands in.
    around: Vec<Option<usize>>,
}

impl<'a> Code<'a> {
    pub(super) fn of(text: &'a str, tokens: &'a [Token], batch: &Batch) -> Self {
        let tokens = batch.code(tokens);
        let word = |token: &&Token| match token.kind {
            TokenKind::Word => token.text(text).to_uppercase(),
            _ => String::new(),
        };
        let words = tokens.iter().map(word).collect();
        let (mut depths, mut partners) = (Vec::with_capacity(tokens.len()), vec![None; tokens.len()]);
        let (mut open, mut around) = (Vec::new(), Vec::with_capacity(tokens.len()));
        for (index, token) in tokens.iter().enumerate() {
            around.push(open.last().copied());
            if token.kind == TokenKind::Symbol('(') {
                open.push(index);
            }
            depths.push(open.len());
            if token.kind == TokenKind::Symbol(')')
                && let Some(start) = open.pop()
            {
                (partners[start], partners[index]) = (Some(index), Some(start));
            }
        }
        Self { text, tokens, words, depths, partners, around }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The word at an index, in upper case; empty for what is no word, and behind the end.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The word before an index.
    pub(super) fn before(&self, index: usize) -> &str {
        index.checked_sub(1).map_or("", |before| self.word(before))
    }

    pub(super) fn any(&self, index: usize, words: &[&str]) -> bool {
        let word = self.word(index);
        !word.is_empty() && words.contains(&word)
    }

    /// Whether these words follow one another from an index on.
    pub(super) fn are(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(place, word)| self.word(index + place) == *word)
    }

    pub(super) fn is_symbol(&self, index: usize, symbol: char) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == TokenKind::Symbol(symbol))
    }

    pub(super) fn is_symbol_before(&self, index: usize, symbol: char) -> bool {
        index.checked_sub(1).is_some_and(|before| self.is_symbol(before, symbol))
    }

    /// Whether it is a word that begins with a letter, an underscore, `@` or `#`: no number.
    pub(super) fn is_word(&self, index: usize) -> bool {
        self.word(index).chars().next().is_some_and(|c| !c.is_ascii_digit())
    }

    pub(super) fn is_number(&self, index: usize) -> bool {
        self.word(index).starts_with(|c: char| c.is_ascii_digit())
    }

    pub(super) fn is_string(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == TokenKind::String)
    }

    /// Whether nothing stands between a token and the next one.
    pub(super) fn is_adjacent(&self, index: usize) -> bool {
        self.tokens.get(index + 1).is_some_and(|next| next.span.start == self.tokens[index].span.end)
    }

    /// Whether it is a name, with brackets or without, and no keyword with which something begins.
    pub(super) fn is_plain_name(&self, index: usize) -> bool {
        let word = self.word(index);
        self.is_quoted(index)
            || self.is_word(index)
                && !word.starts_with('@')
                && !RESERVED.contains(&word)
                && !STARTS.contains(&word)
    }

    /// Whether it is a word that is no name without brackets.
    pub(super) fn is_reserved(&self, index: usize) -> bool {
        self.any(index, RESERVED)
    }

    pub(super) fn is_quoted(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == TokenKind::QuotedName)
    }

    /// Whether it may be a part of a name.
    pub(super) fn is_name(&self, index: usize) -> bool {
        self.is_word(index) || self.is_quoted(index)
    }

    pub(super) fn is_variable(&self, index: usize) -> bool {
        self.word(index).starts_with('@')
    }

    /// How many parentheses are open at a token.
    pub(super) fn depth(&self, index: usize) -> usize {
        self.depths[index]
    }

    pub(super) fn is_open(&self, index: usize) -> bool {
        self.is_symbol(index, '(')
    }

    /// The parenthesis that closes the one at an index.
    pub(super) fn close(&self, index: usize) -> Option<usize> {
        self.partners.get(index).copied().flatten().filter(|_| self.is_open(index))
    }

    /// The parenthesis that opens the one at an index.
    pub(super) fn open(&self, index: usize) -> Option<usize> {
        self.partners.get(index).copied().flatten().filter(|_| self.is_symbol(index, ')'))
    }

    /// The parenthesis that a token stands in.
    pub(super) fn around(&self, index: usize) -> Option<usize> {
        self.around[index]
    }

    /// The index behind a name of one or more parts.
    pub(super) fn behind_name(&self, start: usize) -> usize {
        let mut index = start;
        while index < self.len() && (self.is_name(index) || self.is_symbol(index, '.')) {
            let is_dot = self.is_symbol(index, '.');
            index += 1;
            if !is_dot && !self.is_symbol(index, '.') {
                break;
            }
        }
        index
    }

    /// The first token of the name that a token is the last part of.
    pub(super) fn start_of_name(&self, last: usize) -> usize {
        let mut start = last;
        while self.is_symbol_before(start, '.') {
            start -= 1;
            // `send.p`: behind a dot that word begins nothing; `EXEC .p` has no schema.
            let is_part = start > 0 && self.is_name(start - 1) && !self.is_reserved(start - 1);
            start -= usize::from(is_part);
        }
        start
    }

    /// The items of a list, split at the commas outside deeper parentheses.
    pub(super) fn items(&self, list: Range<usize>) -> Vec<Range<usize>> {
        let (mut items, mut start, mut index) = (Vec::new(), list.start, list.start);
        while index < list.end {
            if let Some(close) = self.close(index) {
                index = close;
            } else if self.is_symbol(index, ',') {
                items.push(start..index);
                start = index + 1;
            }
            index += 1;
        }
        items.push(start..list.end);
        items
    }

    /// The index of the first word of a list of words in a range.
    pub(super) fn find(&self, mut range: Range<usize>, words: &[&str]) -> Option<usize> {
        range.find(|index| self.any(*index, words))
    }

    /// What is written at an index.
    pub(super) fn shown(&self, index: usize) -> &str {
        self.tokens[index].text(self.text)
    }

    /// Whether a token stands in the list of a SELECT, before its FROM and outside deeper parentheses.
    pub(super) fn is_in_select_list(&self, at: usize) -> bool {
        let depth = self.depth(at);
        let inside = (0..at).rev().take_while(|index| self.depth(*index) >= depth);
        let stops = |index: &usize| {
            let word = self.word(*index);
            STARTS.contains(&word) || ["FROM", "INTO", "JOIN"].contains(&word) || self.is_open(*index)
        };
        let mut level = inside.filter(|index| self.depth(*index) == depth);
        level.find(stops).is_some_and(|index| self.word(index) == "SELECT")
    }

    /// The name of an object at an index.
    pub(super) fn object(&self, index: usize) -> Option<ObjectName> {
        let tokens: Vec<Token> =
            (index..self.behind_name(index)).map(|index| self.tokens[index].clone()).collect();
        ObjectName::parse(self.text, &tokens, Dialect::SqlServer).map(|(name, _)| name)
    }

    /// The bytes of a token.
    pub(super) fn span(&self, index: usize) -> Range<usize> {
        self.tokens[index].span.clone()
    }

    /// A fault at a token.
    pub(super) fn fault(&self, index: usize, message: impl Into<String>, help: impl Into<String>) -> Fault {
        let span = self.tokens[index].span.clone();
        let end = span.start + self.text[span.clone()].find('\n').unwrap_or(span.len());
        Fault { span: span.start..end, message: message.into(), help: help.into(), is_doubtful: false }
    }

    /// The line of a token, as a person counts it.
    pub(super) fn line(&self, index: usize) -> usize {
        crate::line::line_column(self.text, self.tokens[index].span.start).line
    }
}
