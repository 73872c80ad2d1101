use std::borrow::Cow;
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::dialect::Dialect;
use crate::directive::Directives;
use crate::name::{baseline_name, script_name};

/// A checked history: a baseline, and the scripts that follow it without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The folder's path, used in messages.
    pub folder: String,
    /// The database that the scripts are written for.
    pub dialect: Dialect,
    /// The schema that the first script builds on.
    pub baseline: Script,
    /// The scripts in order; the first has the number after the baseline's.
    pub scripts: Vec<Script>,
}

impl History {
    /// The number of the last script, or of the baseline if there is no script.
    #[must_use]
    pub fn latest(&self) -> i32 {
        self.scripts.last().unwrap_or(&self.baseline).number
    }

    /// The baseline and the scripts in the order in which an empty database gets them.
    pub fn all(&self) -> impl Iterator<Item = &Script> {
        std::iter::once(&self.baseline).chain(&self.scripts)
    }

    /// The script or the baseline with that number.
    #[must_use]
    pub fn get(&self, number: i32) -> Option<&Script> {
        let index = number.checked_sub(self.baseline.number)?;
        match usize::try_from(index).ok()? {
            0 => Some(&self.baseline),
            index => self.scripts.get(index - 1),
        }
    }

    /// The floor once script `number` is applied: the number of the last contract script up to it, or 0.
    #[must_use]
    pub fn floor_at(&self, number: i32) -> i32 {
        self.all()
            .filter(|script| script.number <= number && script.directives.contract)
            .map(|script| script.number)
            .last()
            .unwrap_or(0)
    }
}

/// One script of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Whether it is the baseline.
    pub kind: Kind,
    /// Its number; for a baseline the number of the last script that it contains.
    pub number: i32,
    /// SHA-256 of the normalised text.
    pub digest: Digest,
    /// What its header asks for.
    pub directives: Directives,
    /// Whether `scripts.lock` lists it.
    pub sealed: bool,
    /// The normalised text, UTF-8.
    pub(crate) bytes: Cow<'static, [u8]>,
}

/// What a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The schema that the first script builds on.
    Baseline,
    /// One change of the schema.
    Script,
}

impl Script {
    /// The file name: `Script-0007.sql`.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self.kind {
            Kind::Baseline => baseline_name(self.number),
            Kind::Script => script_name(self.number),
        }
    }

    /// The normalised text: LF line ends and no byte order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("a checked script is UTF-8")
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(hex: &str) -> Option<Self> {
        let hex = hex.as_bytes();
        let mut digest = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes_and_nothing_else() {
        let digest = Digest::of(b"SELECT 1");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Digest::parse("e004ebd5"), None);
        assert_eq!(Digest::parse(&"zz".repeat(32)), None);
        assert_eq!(Digest::parse(&"é".repeat(32)), None);
    }
}
