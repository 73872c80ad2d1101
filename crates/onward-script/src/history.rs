use std::borrow::Cow;

use crate::catalog::Catalog;
use crate::dialect::Dialect;
use crate::digest::Digest;
use crate::directive::Directives;
use crate::name::{always_name, baseline_name, script_name, seed_name};
use crate::schema_lock::SchemaLock;

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
    /// The scripts in `always/`, which run again whenever they change, in their order.
    pub always: Vec<Script>,
    /// The scripts in `seeds/`, with data for development and tests; a binary does not embed them.
    pub seeds: Vec<Script>,
    /// The text of `schema.lock`, as far as it describes these scripts; empty without one.
    pub(crate) schema: Cow<'static, str>,
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

    /// The schema that a database has once script `number` is applied; `None` if `schema.lock` does not tell.
    #[must_use]
    pub fn schema_after(&self, number: i32) -> Option<Catalog> {
        self.schema_lock()?.after(&self.get(number)?.file_name())
    }

    /// The last script after which `schema.lock` describes this very schema.
    #[must_use]
    pub fn schema_like(&self, found: &Catalog, with_grants: bool) -> Option<i32> {
        let lock = self.schema_lock()?;
        let name = lock.last_like(found, with_grants)?;
        self.all().find(|script| script.file_name() == name).map(|script| script.number)
    }

    /// The digest of all scripts in `always/`, in their order; `None` if there is none.
    #[must_use]
    pub fn always_digest(&self) -> Option<Digest> {
        always_digest(&self.always)
    }

    /// The same history without `always/`.
    #[must_use]
    pub fn without_always(&self) -> Self {
        Self { always: Vec::new(), ..self.clone() }
    }

    /// What `schema.lock` says; `None` without one.
    #[must_use]
    pub fn schema_lock(&self) -> Option<SchemaLock> {
        // What is embedded was read by the check.
        Some(&self.schema).filter(|text| !text.is_empty()).and_then(|text| SchemaLock::parse(text).ok())
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

/// The digest of all scripts in `always/`, in their order; `None` if there is none.
pub(crate) fn always_digest(scripts: &[Script]) -> Option<Digest> {
    let all: Vec<u8> = scripts.iter().flat_map(|script| script.digest.0).collect();
    (!all.is_empty()).then(|| Digest::of(&all))
}

/// One script of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Whether it is the baseline.
    pub kind: Kind,
    /// Its number; for a baseline the number of the last script that it contains, in `always/` and `seeds/` 0.
    pub number: i32,
    /// In `always/` and `seeds/` its name without folder and extension, else empty.
    pub name: String,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The schema that the first script builds on.
    Baseline,
    /// One change of the schema.
    Script,
    /// What runs again whenever it changes: views, functions, grants.
    Always,
    /// Data for development and tests.
    Seed,
}

impl Script {
    /// The file name: `Script-0007.sql`.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self.kind {
            Kind::Baseline => baseline_name(self.number),
            Kind::Script => script_name(self.number),
            Kind::Always => always_name(&self.name),
            Kind::Seed => seed_name(&self.name),
        }
    }

    /// The normalised text: LF line ends and no byte order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("a checked script is UTF-8")
    }
}
