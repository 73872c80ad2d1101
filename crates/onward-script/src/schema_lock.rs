use std::fmt::Write as _;

use crate::catalog::Catalog;
use crate::digest::Digest;
use crate::lock::{CONFLICT, Lock, LockLine, is_conflict};
use crate::name::ALWAYS;

/// `schema.lock`: the schema after each sealed script, as the changes that the script made.
///
/// Each section begins with `NAME SHA256` of a script, and a digest of its lines. These add an object (`+`), change one (`~`) or remove one (`-`). So a
/// review sees what a script does to the schema, and the schema after any script can be read from the file.
///
/// ```
/// use onward_script::{Catalog, Digest, SchemaLock};
///
/// let mut catalog = Catalog::default();
/// catalog.insert("table orders", "");
/// let mut lock = SchemaLock::default();
/// lock.push("Baseline.sql", Digest::of(b"CREATE TABLE orders ();"), &catalog);
/// assert_eq!(SchemaLock::parse(&lock.to_text()), Ok(lock));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaLock {
    sections: Vec<Section>,
    /// What the scripts in `always/` do after the last of them.
    always: Option<Section>,
}

/// The version of the description. It grows when a catalog describes an object in other words, because the catalogs of two
/// versions cannot be compared.
const VERSION: &str = "# catalog 2";

/// The one before, whose sections have no digest of their lines. It describes objects in the same words.
const WITHOUT_DIGESTS: &str = "# catalog 1";

const HEADER: &str = "# The schema after each sealed script, written by `app script seal`; never edited by hand.\n\
                      # NAME SHA256 and a digest of the lines below: what the script adds (+), changes (~) and removes (-).\n";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    name: String,
    digest: Digest,
    changes: Vec<Change>,
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    is_new: bool,
    object: String,
    /// `None` if the script removes the object.
    definition: Option<String>,
}

impl SchemaLock {
    /// Appends the schema after the next script.
    pub fn push(&mut self, name: &str, digest: Digest, after: &Catalog) {
        let before = self.last();
        let differences = before.changes_to(after);
        self.sections.push(Section { name: name.to_owned(), digest, changes: differences });
    }

    /// Describes what the scripts in `always/` do after the last script; `digest` is that of all of them.
    pub fn push_always(&mut self, digest: Digest, after: &Catalog) {
        let changes = self.last().changes_to(after);
        self.always = Some(Section { name: ALWAYS.to_owned(), digest, changes });
    }

    /// The digest of the scripts in `always/` that the file describes.
    #[must_use]
    pub fn always_digest(&self) -> Option<Digest> {
        self.always.as_ref().map(|section| section.digest)
    }

    /// Leaves out what the scripts in `always/` do.
    pub fn forget_always(&mut self) {
        self.always = None;
    }

    /// The objects that the scripts in `always/` make or change.
    pub fn always_objects(&self) -> impl Iterator<Item = &str> {
        self.always.iter().flat_map(|section| &section.changes).map(|change| change.object.as_str())
    }

    /// Adds to a schema what the scripts in `always/` do.
    pub fn apply_always(&self, catalog: &mut Catalog) {
        self.always.iter().for_each(|section| section.apply_to(catalog));
    }

    /// The schema after a script; `None` if the file does not reach it.
    #[must_use]
    pub fn after(&self, name: &str) -> Option<Catalog> {
        let index = self.sections.iter().position(|section| section.name == name)?;
        Some(catalog(&self.sections[..=index]))
    }

    /// The last script after which the schema is this one.
    #[must_use]
    pub fn last_like(&self, found: &Catalog, with_grants: bool) -> Option<&str> {
        let mut schema = Catalog::default();
        let mut last = None;
        for section in &self.sections {
            section.apply_to(&mut schema);
            let expected = if with_grants { schema.clone() } else { schema.clone().without_grants() };
            if expected.differences(found).is_empty() {
                last = Some(section.name.as_str());
            }
        }
        last
    }

    fn last(&self) -> Catalog {
        catalog(&self.sections)
    }

    /// How many scripts at the start of a lock the file describes: those with the same names and texts.
    #[must_use]
    pub fn described(&self, lock: &Lock) -> usize {
        let same = |(section, line): &(&Section, &LockLine)| {
            section.name == line.name && section.digest == line.digest
        };
        self.sections.iter().zip(&lock.lines).take_while(same).count()
    }

    /// How many scripts the file lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sections.len()
    }

    /// Whether the file lists no script.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Keeps the first `count` scripts.
    pub fn truncate(&mut self, count: usize) {
        self.sections.truncate(count);
    }

    /// The file after a squash: the baseline `name` contains what the scripts up to `through` did. `None` if the file does not
    /// reach that script.
    #[must_use]
    pub fn squashed(&self, through: &str, name: &str, digest: Digest) -> Option<Self> {
        let index = self.sections.iter().position(|section| section.name == through)?;
        let mut squashed = Self::default();
        squashed.push(name, digest, &catalog(&self.sections[..=index]));
        squashed.sections.extend_from_slice(&self.sections[index + 1..]);
        squashed.always = self.always.clone();
        Some(squashed)
    }

    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// The number (from 1) of the first bad line, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lock = Self::default();
        let mut has_version = false;
        // Where the last section begins, and what its lines must come to. Older files do not say it.
        let mut expected: Option<(usize, String)> = None;
        for (index, line) in text.lines().enumerate() {
            let fault = |message: &str| (index + 1, message.to_owned());
            let line = line.trim_end_matches('\r');
            has_version |= line == VERSION || line == WITHOUT_DIGESTS;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if is_conflict(line) {
                return Err(fault(CONFLICT));
            }
            if !has_version {
                return Err(fault("another version of Onward wrote this file"));
            }
            if let Some(change) = Change::parse(line) {
                let section = lock.always.as_mut().or(lock.sections.last_mut());
                section.ok_or_else(|| fault("a change stands before the first script"))?.changes.push(change);
                continue;
            }
            lock.require_whole(expected.take())?;
            let section = line.split_once(' ').and_then(|(name, digests)| {
                let (digest, lines) =
                    digests.split_once(' ').map_or((digests, None), |(one, two)| (one, Some(two)));
                let digest = Digest::parse(digest)?;
                Some((Section { name: name.to_owned(), digest, changes: Vec::new() }, lines))
            });
            let (section, lines) =
                section.ok_or_else(|| fault("the line is neither `NAME SHA256` nor a change"))?;
            expected = lines.map(|lines| (index + 1, lines.to_owned()));
            if section.name == ALWAYS {
                lock.always = Some(section);
            } else if lock.always.is_some() {
                return Err(fault("a script stands behind `always`"));
            } else {
                lock.sections.push(section);
            }
        }
        lock.require_whole(expected)?;
        Ok(lock)
    }

    /// The last section has the lines that were written.
    fn require_whole(&self, expected: Option<(usize, String)>) -> Result<(), (usize, String)> {
        let (Some((line, lines)), Some(section)) = (expected, self.always.as_ref().or(self.sections.last()))
        else {
            return Ok(());
        };
        match short_digest(&section.lines()) == lines {
            true => Ok(()),
            false => Err((line, format!("the lines of {} are not those that were written", section.name))),
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}{VERSION}\n");
        for section in self.sections.iter().chain(&self.always) {
            let (Section { name, digest, .. }, lines) = (section, section.lines());
            write!(text, "\n{name} {digest} {}\n{lines}", short_digest(&lines))
                .expect("a String takes every write");
        }
        text
    }
}

/// The first characters of the digest: it is against slips.
fn short_digest(lines: &str) -> String {
    let mut digest = Digest::of(lines.as_bytes()).to_string();
    digest.truncate(16);
    digest
}

impl Section {
    fn lines(&self) -> String {
        self.changes.iter().map(Change::to_line).collect()
    }

    fn apply_to(&self, catalog: &mut Catalog) {
        for Change { object, definition, .. } in &self.changes {
            match definition {
                Some(definition) => catalog.insert(object.clone(), definition.clone()),
                None => drop(catalog.remove(object)),
            }
        }
    }
}

impl Catalog {
    fn changes_to(&self, after: &Self) -> Vec<Change> {
        let removed = self
            .iter()
            .filter(|(object, _)| after.get(object).is_none())
            .map(|(object, _)| Change { is_new: false, object: object.to_owned(), definition: None });
        let other = after.iter().filter(|(object, definition)| self.get(object) != Some(definition)).map(
            |(object, definition)| Change {
                is_new: self.get(object).is_none(),
                object: object.to_owned(),
                definition: Some(definition.to_owned()),
            },
        );
        removed.chain(other).collect()
    }
}

fn catalog(sections: &[Section]) -> Catalog {
    let mut catalog = Catalog::default();
    sections.iter().for_each(|section| section.apply_to(&mut catalog));
    catalog
}

/// What separates an object from its definition. In an object it is escaped.
const SEPARATOR: &str = " : ";

impl Change {
    fn parse(line: &str) -> Option<Self> {
        let (sign, rest) = line.split_once(' ')?;
        if sign == "-" {
            return Some(Self { is_new: false, object: unescape(rest), definition: None });
        }
        let is_new = match sign {
            "+" => true,
            "~" => false,
            _ => return None,
        };
        let (object, definition) = rest.split_once(SEPARATOR).unwrap_or((rest, ""));
        Some(Self { is_new, object: unescape(object), definition: Some(unescape(definition)) })
    }

    fn to_line(&self) -> String {
        let object = escape(&self.object).replace(" :", " \\:");
        match &self.definition {
            None => format!("- {object}\n"),
            Some(definition) => {
                let sign = if self.is_new { '+' } else { '~' };
                let separator = if definition.is_empty() { "" } else { SEPARATOR };
                format!("{sign} {object}{separator}{}\n", escape(definition))
            }
        }
    }
}

/// A definition is one line, and git trims no blank at its end.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    match text.strip_suffix(' ') {
        Some(rest) => format!("{rest}\\s"),
        None => text,
    }
}

fn unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => unescaped.extend(characters.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                's' => ' ',
                other => other,
            })),
            other => unescaped.push(other),
        }
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog_of(objects: &[(&str, &str)]) -> Catalog {
        let mut catalog = Catalog::default();
        for (object, definition) in objects {
            catalog.insert(*object, *definition);
        }
        catalog
    }

    fn three() -> (SchemaLock, [Catalog; 3]) {
        let catalogs = [
            catalog_of(&[("column t.a", "text"), ("table t", "")]),
            catalog_of(&[("column t.a", "bigint"), ("table \"a : b\"", "x : y"), ("table t", "")]),
            catalog_of(&[("table \"a : b\"", "x : y"), ("view v", "SELECT 'a\\n\n' ")]),
        ];
        let mut lock = SchemaLock::default();
        for (name, after) in ["Baseline.sql", "Script-0001.sql", "Script-0002.sql"].iter().zip(&catalogs) {
            lock.push(name, Digest::of(name.as_bytes()), after);
        }
        (lock, catalogs)
    }

    #[test]
    fn the_schema_after_each_script_is_read_back() {
        let (lock, catalogs) = three();
        let read = SchemaLock::parse(&lock.to_text()).expect("the text is sound");
        assert_eq!(read, lock);
        assert_eq!(SchemaLock::parse(&lock.to_text().replace('\n', "\r\n")), Ok(lock));
        for (name, expected) in ["Baseline.sql", "Script-0001.sql", "Script-0002.sql"].iter().zip(catalogs) {
            assert_eq!(read.after(name), Some(expected), "{name}");
        }
        assert_eq!(read.after("Script-0003.sql"), None);
    }

    #[test]
    fn a_section_shows_what_its_script_did() {
        let (lock, _) = three();
        let text = lock.to_text();
        let last = text.rsplit("\n\n").next().unwrap_or_default();
        let changes: Vec<_> = last.lines().skip(1).collect();
        assert_eq!(changes, ["- column t.a", "- table t", "+ view v : SELECT 'a\\\\n\\n'\\s"]);
    }

    #[test]
    fn what_runs_always_comes_after_the_last_script() {
        let (mut lock, [_, _, third]) = three();
        let mut whole = third.clone();
        whole.insert("view w", "SELECT 1;");
        lock.push_always(Digest::of(b"x"), &whole);
        let read = SchemaLock::parse(&lock.to_text()).expect("the text is sound");
        assert_eq!(read, lock);
        assert_eq!(read.always_objects().collect::<Vec<_>>(), ["view w"]);
        assert_eq!(read.after("Script-0002.sql"), Some(third.clone()));
        let mut again = third;
        read.apply_always(&mut again);
        assert_eq!(again, whole);
    }

    #[test]
    fn a_squash_keeps_the_schema_after_the_later_scripts() {
        let (lock, [_, second, third]) = three();
        let squashed = lock.squashed("Script-0001.sql", "Baseline-0001.sql", Digest::of(b"x"));
        let squashed = squashed.expect("the file reaches the script");
        assert_eq!(squashed.after("Baseline-0001.sql"), Some(second));
        assert_eq!(squashed.after("Script-0002.sql"), Some(third));
        assert_eq!(squashed.len(), 2);
    }

    #[test]
    fn a_malformed_line_is_reported_with_its_number() {
        for (text, line, message) in [
            ("Baseline.sql e004", 1, "another version of Onward wrote this file"),
            ("# catalog 1\n+ table t", 2, "a change stands before the first script"),
            ("# catalog 1\nBaseline.sql e004", 2, "the line is neither `NAME SHA256` nor a change"),
            ("# catalog 1\n<<<<<<< HEAD", 2, CONFLICT),
        ] {
            assert_eq!(SchemaLock::parse(text), Err((line, message.to_owned())), "{text}");
        }
    }
}
