use std::fmt;

use onward_script::{History, Script};

use crate::foreign_journal::ForeignJournal;
use crate::journal::{AlwaysRow, JournalRow, Observed, RowState};

/// The result of a comparison of the journal with the embedded scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// No table at all: the baseline and every script are to run.
    Empty,
    /// Every embedded script is applied, and no other.
    Current,
    /// Scripts are to run.
    Behind,
    /// The database knows scripts that this binary does not.
    Ahead,
    /// The journal contradicts the embedded scripts.
    Diverged,
    /// Tables but no journal: it is unknown which scripts were applied.
    Unversioned,
}

impl SchemaState {
    /// The word for it on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Current => "current",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Diverged => "diverged",
            Self::Unversioned => "unversioned",
        }
    }
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One contradiction between the journal and the embedded scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Divergence {
    /// The script was applied with another text.
    Edited {
        /// The file.
        file: String,
        /// Whether the binary embeds it as a draft, which may change.
        is_draft: bool,
    },
    /// The journal has a script that the history should hold and does not.
    Missing {
        /// The file.
        file: String,
    },
    /// A later script is applied, this one is not.
    Hole {
        /// The file.
        file: String,
    },
    /// A no-transaction script began and did not end.
    HalfDone {
        /// The file.
        file: String,
        /// Its number.
        version: i32,
    },
    /// The database is older than the baseline of this binary.
    BeforeBaseline {
        /// The last script that is applied.
        applied: i32,
        /// The last script that the baseline contains.
        baseline: i32,
    },
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { file, is_draft: true } => {
                write!(f, "{file} is a draft that was applied with another text than this binary embeds")
            }
            Self::Edited { file, is_draft: false } => {
                write!(f, "{file} was applied with another text than this binary embeds")
            }
            Self::Missing { file } => write!(f, "{file} is applied, but this binary does not embed it"),
            Self::Hole { file } => write!(f, "{file} is not applied, though a later script is"),
            Self::HalfDone { file, version } => write!(
                f,
                "{file} runs without a transaction; it began and never ended: find what it left behind, undo \
                 that, then `DELETE FROM schema_journal WHERE version = {version} AND state = 'started'` \
                 and run `app migrate` again"
            ),
            Self::BeforeBaseline { applied, baseline } => write!(
                f,
                "the database is at script {applied:04}, and this binary begins with a baseline of \
                 {baseline:04}: upgrade first with a version that still has the scripts in between"
            ),
        }
    }
}

/// The schema state with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: SchemaState,
    /// The number of the last applied script; `None` if nothing is applied.
    pub applied: Option<i32>,
    /// The number of the last embedded script.
    pub latest: i32,
    /// The numbers that are to run, in order; the baseline's is the first on an empty database.
    pub pending: Vec<i32>,
    /// The names of the scripts in `always/` that `migrate` would run, in order.
    pub always: Vec<String>,
    /// Why the state is diverged.
    pub divergences: Vec<Divergence>,
    /// The oldest script number that a running binary must know.
    pub floor: i32,
    /// The history tables of other tools, if the database is unversioned.
    pub foreign: Vec<ForeignJournal>,
}

impl Status {
    /// Decides the state; a pure function of what the binary and the database contain.
    #[must_use]
    pub fn assess(history: &History, observed: &Observed) -> Self {
        let latest = history.latest();
        let rows = observed.journal.as_deref().unwrap_or_default();
        let status = |state, pending| Self {
            state,
            applied: rows.iter().map(|row| row.version).max(),
            latest,
            pending,
            always: Vec::new(),
            divergences: Vec::new(),
            floor: rows.iter().map(|row| row.floor).max().unwrap_or(0),
            foreign: observed.foreign.clone(),
        };
        if rows.is_empty() {
            return if observed.has_tables {
                status(SchemaState::Unversioned, Vec::new())
            } else {
                let pending = history.all().map(|script| script.number).collect();
                let always = history.always.iter().map(|script| script.name.clone()).collect();
                Self { always, ..status(SchemaState::Empty, pending) }
            };
        }
        let divergences = divergences(history, rows);
        let applied = rows.iter().map(|row| row.version).max().unwrap_or(latest);
        if !divergences.is_empty() {
            return Self { divergences, ..status(SchemaState::Diverged, Vec::new()) };
        }
        let pending: Vec<_> = (applied.saturating_add(1)..=latest).collect();
        let always = Always { history, rows: &observed.always, version: latest };
        let state = match applied {
            applied if applied > latest => SchemaState::Ahead,
            _ if pending.is_empty() && always.may_serve() => SchemaState::Current,
            _ => SchemaState::Behind,
        };
        let due = if state == SchemaState::Ahead { Vec::new() } else { always.due() };
        Self { always: due, ..status(state, pending) }
    }

    /// Whether a worker of this binary may run on the database.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        match self.state {
            SchemaState::Current => true,
            SchemaState::Ahead => self.latest >= self.floor,
            _ => false,
        }
    }
}

/// What has become of the scripts in `always/`.
struct Always<'a> {
    history: &'a History,
    rows: &'a [AlwaysRow],
    /// The script behind which they must have run.
    version: i32,
}

impl Always<'_> {
    fn last(&self, script: &Script) -> Option<&AlwaysRow> {
        self.rows.iter().rev().find(|row| row.name == script.name)
    }

    /// The scripts to run: those that have another text, or that have not run since the last numbered script.
    fn due(&self) -> Vec<String> {
        let is_done = |script: &&Script| {
            self.last(script)
                .is_some_and(|row| row.digest == Some(script.digest) && row.version >= self.version)
        };
        self.history
            .always
            .iter()
            .filter(|script| !is_done(script))
            .map(|script| script.name.clone())
            .collect()
    }

    /// Whether each has run, with this text or with a later one: a newer binary may have run its own since.
    fn may_serve(&self) -> bool {
        self.history.always.iter().all(|script| {
            let is_known =
                self.rows.iter().any(|row| row.name == script.name && row.digest == Some(script.digest));
            is_known && self.last(script).is_some_and(|row| row.version >= self.version)
        })
    }
}

fn divergences(history: &History, rows: &[JournalRow]) -> Vec<Divergence> {
    let start = history.baseline.number;
    let applied = rows.iter().map(|row| row.version).max().unwrap_or(start);
    if applied < start {
        return vec![Divergence::BeforeBaseline { applied, baseline: start }];
    }
    let mut found = Vec::new();
    for row in rows {
        let file = row.file_name();
        if row.state == RowState::Started {
            found.push(Divergence::HalfDone { file, version: row.version });
        } else if row.version < start || row.version > history.latest() {
            continue;
        } else if let Some(script) = history.get(row.version) {
            // A database that was migrated script by script has script 48 where a new one has the
            // squashed baseline of the same number.
            let same_kind = script.file_name() == file;
            let squashed = row.version == start && !row.is_baseline();
            if !same_kind && !squashed {
                found.push(Divergence::Missing { file });
            } else if same_kind && row.digest != Some(script.digest) {
                found.push(Divergence::Edited { file, is_draft: !script.sealed });
            }
        }
    }
    let mut recorded: Vec<_> = rows.iter().map(|row| row.version).collect();
    recorded.sort_unstable();
    // A database may begin with a later baseline than this binary has, and with nothing else.
    let lowest = rows.iter().filter(|row| row.version >= start).min_by_key(|row| row.version);
    let first = lowest.filter(|row| row.is_baseline()).map_or(start, |row| row.version);
    for version in first..=applied.min(history.latest()) {
        if recorded.binary_search(&version).is_err() {
            let file = history.get(version).map_or_else(String::new, |script| script.file_name());
            found.push(Divergence::Hole { file });
        }
    }
    found
}
