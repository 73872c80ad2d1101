use std::time::Duration;

use crate::foreign_journal::ForeignJournal;
use onward_script::{Digest, Kind, Script};

/// The table that records what was applied.
pub const JOURNAL: &str = "schema_journal";

/// The table that records the runs of the scripts in `always/`, each in a row of its own.
pub(crate) const ALWAYS_JOURNAL: &str = "schema_always";

/// The journals of migration tools, ours among them: no script makes them.
pub(crate) const JOURNALS: [&str; 13] = [
    JOURNAL,
    ALWAYS_JOURNAL,
    "SchemaVersions",
    "schemaversions",
    "flyway_schema_history",
    "_sqlx_migrations",
    "refinery_schema_history",
    "schema_migrations",
    "databasechangelog",
    "databasechangeloglock",
    "__EFMigrationsHistory",
    "goose_db_version",
    "__diesel_schema_migrations",
];

/// One row of the journal.
///
/// The first four columns are refinery's, so that its tools can read the table. The others are Onward's. The definition of
/// the table never changes, because an old binary and a new one must both read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// The script's number; the baseline's is that of the last script it contains.
    pub version: i32,
    /// `Script_0007` or `Baseline`.
    pub name: String,
    /// When it was applied, RFC 3339, UTC.
    pub applied_on: String,
    /// SHA-256 of the normalised text.
    pub digest: Option<Digest>,
    /// How far it got.
    pub state: RowState,
    /// The oldest script number that a running binary must know from here on.
    pub floor: i32,
}

/// How far a journalled script got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// It ran to its end.
    Applied,
    /// It was recorded without running, because the database had its effect already.
    Adopted,
    /// A no-transaction script began, and its end was never recorded.
    Started,
}

impl RowState {
    /// The word in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Adopted => "adopted",
            Self::Started => "started",
        }
    }

    /// Reads the word in the journal; an unknown one counts as not finished.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "applied" => Self::Applied,
            "adopted" => Self::Adopted,
            _ => Self::Started,
        }
    }
}

impl JournalRow {
    /// The columns of a row, in this order; each is read as a text.
    pub(crate) const COLUMNS: [&str; 6] = ["version", "name", "applied_on", "sha256", "state", "floor"];

    /// Reads a row; `None` if a column does not hold a value of the journal.
    pub(crate) fn read<'a>(column: impl Fn(usize) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            version: column(0)?.parse().ok()?,
            name: column(1)?.to_owned(),
            applied_on: column(2)?.to_owned(),
            digest: Digest::parse(column(3)?),
            state: RowState::parse(column(4)?),
            floor: column(5)?.parse().ok()?,
        })
    }

    /// Whether the row belongs to a baseline.
    #[must_use]
    pub fn is_baseline(&self) -> bool {
        self.name.starts_with("Baseline")
    }

    /// The file that the row is about.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.sql", self.name.replace('_', "-"))
    }
}

/// One row of the journal with all that it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalEntry {
    /// What the schema state is decided by.
    pub row: JournalRow,
    /// How long the script took; unknown for an adopted one, and within `--single-transaction`.
    pub duration: Option<Duration>,
    /// The user of the database.
    pub applied_by: String,
    /// The host.
    pub host: String,
    /// The version of the app.
    pub app_version: String,
}

impl JournalEntry {
    /// The columns of an entry behind those of its row; each is read as a text.
    pub(crate) const COLUMNS: [&str; 4] = ["duration_ms", "applied_by", "host", "app_version"];

    /// As [`JournalRow::read`].
    pub(crate) fn read<'a>(column: impl Fn(usize) -> Option<&'a str>) -> Option<Self> {
        let behind = |index| column(JournalRow::COLUMNS.len() + index);
        Some(Self {
            row: JournalRow::read(&column)?,
            duration: behind(0).and_then(|ms| ms.parse().ok()).map(Duration::from_millis),
            applied_by: behind(1)?.to_owned(),
            host: behind(2)?.to_owned(),
            app_version: behind(3)?.to_owned(),
        })
    }
}

/// One run of a script in `always/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlwaysRow {
    /// Its name without folder and extension.
    pub name: String,
    /// SHA-256 of its normalised text.
    pub digest: Option<Digest>,
    /// The number of the last script that was applied before.
    pub version: i32,
}

impl AlwaysRow {
    /// The query for all rows of a table, in the order in which they were written.
    pub(crate) fn query(table: &str) -> String {
        let text = "NATIONAL CHARACTER VARYING(255)";
        format!("SELECT name, CAST(sha256 AS {text}), CAST(version AS {text}) FROM {table} ORDER BY id")
    }

    /// Reads a row; `None` if a column does not hold a value of the table.
    pub(crate) fn read(row: &[Option<String>]) -> Option<Self> {
        let [Some(name), Some(digest), Some(version)] = row else { return None };
        Some(Self { name: name.clone(), digest: Digest::parse(digest), version: version.parse().ok()? })
    }
}

/// What the database contains: the journal, and whether there are other tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The journal's rows in order; `None` if the table does not exist.
    pub journal: Option<Vec<JournalRow>>,
    /// Whether the database holds tables, or anything else that a user made, besides the journal.
    pub has_tables: bool,
    /// The runs of the scripts in `always/`, in order.
    pub always: Vec<AlwaysRow>,
    /// The history tables of other tools, if there is no journal.
    pub foreign: Vec<ForeignJournal>,
}

/// The name of a script in the journal: refinery allows letters, digits and underscores.
pub(crate) fn journal_name(script: &Script) -> String {
    let file = script.file_name();
    file.trim_end_matches(".sql").replace('-', "_")
}

/// The same script as refinery knows it, `V7__Script_0007`.
pub(crate) fn to_refinery(script: &Script) -> Result<refinery::Migration, refinery::Error> {
    debug_assert!(script.kind == Kind::Script || script.number >= 0);
    let name = format!("V{}__{}", script.number, journal_name(script));
    refinery::Migration::unapplied(&name, script.text())
}
