use std::fmt;

use onward_script::{Catalog, Difference};

/// How a database differs from the schema that the scripts make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The script after which the schema is compared.
    pub number: i32,
    /// How many objects were compared.
    pub objects: usize,
    /// What differs, by object; empty if nothing does.
    pub differences: Vec<Difference>,
    /// What the database has.
    pub(crate) found: Catalog,
}

/// How many differences a text shows.
const SHOWN: usize = 20;

impl fmt::Display for Drift {
    /// The first differences, one on a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.differences.iter().take(SHOWN).map(|difference| format!("  - {difference}"));
        f.write_str(&shown.collect::<Vec<_>>().join("\n"))?;
        match self.differences.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  - and {more} more"),
        }
    }
}
