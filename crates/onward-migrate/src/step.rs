use onward_script::{History, Script};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::journal::journal_name;

/// Who applies a script, for its journal row.
///
/// ```
/// use onward_migrate::Applier;
///
/// let applier = Applier { host: "worker-1".to_owned(), app_version: "1.4.0".to_owned() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applier {
    /// The host's name.
    pub host: String,
    /// The app's version.
    pub app_version: String,
}

/// One script to run, and what its journal row says.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// The script.
    pub script: &'a Script,
    /// Its number; of a script in `always/` the number of the last script before it.
    pub version: i32,
    /// Its name in the journal.
    pub journal_name: String,
    /// The checksum that refinery computes.
    pub checksum: u64,
    /// When it is applied, RFC 3339, UTC.
    pub applied_on: String,
    /// The floor from this script on.
    pub floor: i32,
    /// Who applies it.
    pub applier: &'a Applier,
}

/// Makes the steps of a history: each script, and the content of its journal row.
pub(crate) struct Steps<'a> {
    /// The floor at each script, from the baseline on.
    floors: Vec<i32>,
    first: i32,
    applier: &'a Applier,
}

impl<'a> Steps<'a> {
    pub(crate) fn of(history: &History, applier: &'a Applier) -> Self {
        let mut floor = 0;
        let at = |script: &Script| {
            if script.directives.contract {
                floor = script.number;
            }
            floor
        };
        Self { floors: history.all().map(at).collect(), first: history.baseline.number, applier }
    }

    /// The step of a script in `always/` behind script `version`.
    pub(crate) fn always(&self, script: &'a Script, version: i32) -> Step<'a> {
        Step { version, ..self.step(script, 0) }
    }

    pub(crate) fn step(&self, script: &'a Script, checksum: u64) -> Step<'a> {
        let index = usize::try_from(script.number - self.first).unwrap_or(0);
        Step {
            script,
            version: script.number,
            journal_name: journal_name(script),
            checksum,
            applied_on: OffsetDateTime::now_utc().format(&Rfc3339).expect("the present has a date"),
            floor: self.floors.get(index).copied().unwrap_or(0),
            applier: self.applier,
        }
    }
}
