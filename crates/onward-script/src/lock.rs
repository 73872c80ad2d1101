use std::collections::HashSet;
use std::fmt::Write as _;

use crate::digest::Digest;

/// `scripts.lock`: which scripts are sealed, and with which text.
///
/// Each script has one line, `NAME SHA256 CHAIN`, and each chain covers the chain before it. A changed, moved or
/// missing line therefore breaks every later line. Two branches that both append a line conflict in git.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// Which version of the rules all of these scripts have passed, see [`RULES_VERSION`]; unknown in a lock that an older Onward
    /// wrote.
    pub rules: Option<u32>,
    /// The sealed scripts in order, the baseline first.
    pub lines: Vec<LockLine>,
}

/// The version of the rules that sealed scripts pass. It grows when one of them finds more in a text.
///
/// A build does not parse a sealed script whose lock names this version: it was parsed when it was sealed, and its digest says
/// that its text is the same. `app script check` and `testing::verify` parse every script.
pub const RULES_VERSION: u32 = 1;

const RULES: &str = "# rules ";

/// One sealed script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockLine {
    /// The file name.
    pub name: String,
    /// SHA-256 of the normalised text.
    pub digest: Digest,
    /// SHA-256 over the chain before, the name and the digest.
    pub chain: Digest,
}

const HEADER: &str = "# Sealed scripts, written by `app script seal`; never edited by hand.\n\
                      # NAME SHA256 CHAIN, where each chain covers the line before it.\n";

impl Lock {
    /// Appends a script.
    pub fn push(&mut self, name: &str, digest: Digest) {
        let before = self.lines.last().map(|line| line.chain);
        self.lines.push(LockLine { name: name.to_owned(), digest, chain: chain(before, name, digest) });
    }

    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// The number (from 1) of the first bad line, and a sentence. A line is bad if it is malformed, or if its
    /// chain does not match the line before it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lock = Self::default();
        let mut names = HashSet::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if let Some(version) = line.strip_prefix(RULES) {
                lock.rules = version.parse().ok();
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |message: &str| (index + 1, message.to_owned());
            if is_conflict(line) {
                return Err(fault(CONFLICT));
            }
            let fields: Vec<_> = line.split(' ').collect();
            let [name, digest, found] = fields[..] else {
                return Err(fault("the line is not of the form `NAME SHA256 CHAIN`"));
            };
            let (Some(digest), Some(found)) = (Digest::parse(digest), Digest::parse(found)) else {
                return Err(fault("a checksum on the line is not 64 hexadecimal digits"));
            };
            if !names.insert(name) {
                return Err((index + 1, format!("`{name}` is listed twice")));
            }
            lock.push(name, digest);
            if lock.lines.last().is_none_or(|line| line.chain != found) {
                return Err(fault("the chain does not match the lines before it"));
            }
        }
        Ok(lock)
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        if let Some(version) = self.rules {
            writeln!(text, "{RULES}{version}").expect("a String takes every write");
        }
        for LockLine { name, digest, chain } in &self.lines {
            writeln!(text, "{name} {digest} {chain}").expect("a String takes every write");
        }
        text
    }
}

/// What is wrong with a line that git has left behind.
pub(crate) const CONFLICT: &str = "an unresolved merge conflict";

/// Whether git wrote the line into a file that it could not merge.
pub(crate) fn is_conflict(line: &str) -> bool {
    ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| line.starts_with(mark))
}

fn chain(before: Option<Digest>, name: &str, digest: Digest) -> Digest {
    let mut bytes = before.map_or([0; 32], |before| before.0).to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&digest.0);
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Lock {
        let mut lock = Lock::default();
        for name in ["Baseline.sql", "Script-0001.sql", "Script-0002.sql"] {
            lock.push(name, Digest::of(name.as_bytes()));
        }
        lock
    }

    #[test]
    fn reads_what_it_writes() {
        assert_eq!(Lock::parse(&three().to_text()), Ok(three()));
        assert_eq!(Lock::parse(&three().to_text().replace('\n', "\r\n")), Ok(three()));
        assert_eq!(Lock::parse(""), Ok(Lock::default()));
        let passed = Lock { rules: Some(RULES_VERSION), ..three() };
        assert_eq!(Lock::parse(&passed.to_text()), Ok(passed));
    }

    #[test]
    fn a_changed_moved_or_missing_line_breaks_the_chain() {
        let text = three().to_text();
        let lines: Vec<_> = text.lines().collect();
        let other = Digest::of(b"other").to_string();
        let changed = text.replace(&three().lines[1].digest.to_string(), &other);
        let moved = [lines[2], lines[4], lines[3]].join("\n");
        let missing = [lines[2], lines[4]].join("\n");
        for (text, line) in [(changed, 4), (moved, 2), (missing, 2)] {
            let expected = "the chain does not match the lines before it".to_owned();
            assert_eq!(Lock::parse(&text), Err((line, expected)));
        }
    }

    #[test]
    fn a_malformed_line_is_reported_with_its_number() {
        for (text, message) in [
            ("Script-0001.sql", "the line is not of the form `NAME SHA256 CHAIN`"),
            ("a b c", "a checksum on the line is not 64 hexadecimal digits"),
            ("<<<<<<< HEAD", "an unresolved merge conflict"),
        ] {
            assert_eq!(Lock::parse(text), Err((1, message.to_owned())), "{text}");
        }
    }
}
