/// The file that lists the sealed scripts.
pub const LOCK_FILE: &str = "scripts.lock";

/// The file that describes the schema after each sealed script.
pub const SCHEMA_LOCK_FILE: &str = "schema.lock";

/// The schema after the last sealed script as SQL, for people to read and review.
pub const SCHEMA_FILE: &str = "schema.sql";

/// The folder of the scripts that run again whenever they change.
pub const ALWAYS: &str = "always";

/// The folder of the scripts with data for development and tests.
pub const SEEDS: &str = "seeds";

/// The only file names that a folder of scripts may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileName {
    /// `Baseline.sql` (through 0) or, after a squash, `Baseline-0048.sql` (through 48).
    Baseline {
        /// The number of the last script that the baseline contains.
        through: i32,
    },
    /// `Script-0007.sql`.
    Script {
        /// The script's number, 1 or more.
        number: i32,
    },
    /// `always/orders_view.sql`.
    Always {
        /// The name without folder and extension.
        name: String,
    },
    /// `seeds/development.sql` or `seeds/test.sql`.
    Seed {
        /// `development` or `test`.
        name: String,
    },
    /// `scripts.lock`.
    Lock,
    /// `schema.lock`.
    SchemaLock,
    /// `README.md`, `schema.sql` and dotfiles, which no rule checks.
    Ignored,
    /// Anything else.
    Unexpected {
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
}

impl FileName {
    /// Classifies a file name. The comparison is exact, because the build server compares file names exactly.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "Baseline.sql" => return Self::Baseline { through: 0 },
            LOCK_FILE => return Self::Lock,
            SCHEMA_LOCK_FILE => return Self::SchemaLock,
            "README.md" | SCHEMA_FILE => return Self::Ignored,
            _ if name.starts_with('.') => return Self::Ignored,
            _ => {}
        }
        if let Some(file) = name.strip_prefix(SEEDS).and_then(|rest| rest.strip_prefix('/')) {
            return match file.strip_suffix(".sql") {
                Some(stem @ ("development" | "test")) => Self::Seed { name: stem.to_owned() },
                _ if file.starts_with('.') || file == "README.md" => Self::Ignored,
                _ => Self::Unexpected { suggestion: None },
            };
        }
        if let Some(file) = name.strip_prefix(ALWAYS).and_then(|rest| rest.strip_prefix('/')) {
            let is_sound = |stem: &&str| {
                !stem.is_empty() && stem.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
            };
            return match file.strip_suffix(".sql").filter(is_sound) {
                Some(stem) => Self::Always { name: stem.to_owned() },
                None if file.starts_with('.') || file == "README.md" => Self::Ignored,
                None => Self::Unexpected { suggestion: None },
            };
        }
        let numbered = |prefix: &str| {
            name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".sql")).and_then(number)
        };
        if let Some(number) = numbered("Script-") {
            Self::Script { number }
        } else if let Some(through) = numbered("Baseline-") {
            Self::Baseline { through }
        } else {
            Self::Unexpected { suggestion: suggestion(name) }
        }
    }
}

/// The file name of script `number`: four digits, and more from 10,000 on.
#[must_use]
pub fn script_name(number: i32) -> String {
    format!("Script-{number:04}.sql")
}

/// The file name of a script that runs again whenever it changes.
#[must_use]
pub fn always_name(name: &str) -> String {
    format!("{ALWAYS}/{name}.sql")
}

/// The file name of a script with data.
pub(crate) fn seed_name(name: &str) -> String {
    format!("{SEEDS}/{name}.sql")
}

/// The file name of the baseline that contains the scripts up to `through`.
#[must_use]
pub fn baseline_name(through: i32) -> String {
    if through == 0 { "Baseline.sql".to_owned() } else { format!("Baseline-{through:04}.sql") }
}

/// Accepts one spelling for each number, so that two files can never have the same number.
fn number(digits: &str) -> Option<i32> {
    let padded = digits.len() == 4 || (digits.len() > 4 && !digits.starts_with('0'));
    (padded && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|number| *number > 0)
}

/// The correct name for a near miss: other case, other padding, a copy, another tool's scheme.
fn suggestion(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let stem = lower.split(".sql").next().filter(|stem| stem.len() < lower.len())?;
    let first_number = || {
        let start = stem.find(|c: char| c.is_ascii_digit())?;
        let digits = stem[start..].split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse::<i32>().ok().filter(|number| *number > 0)
    };
    let word = stem.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if word.starts_with("baseline") {
        return Some(baseline_name(first_number().unwrap_or(0)));
    }
    let known_scheme = word.starts_with("script")
        || word.starts_with(|c: char| c.is_ascii_digit())
        || (word.starts_with('v') && word[1..].starts_with(|c: char| c.is_ascii_digit()));
    known_scheme.then(first_number).flatten().map(script_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let cases = [
            ("Baseline.sql", FileName::Baseline { through: 0 }),
            ("Baseline-0048.sql", FileName::Baseline { through: 48 }),
            ("Script-0001.sql", FileName::Script { number: 1 }),
            ("Script-9999.sql", FileName::Script { number: 9999 }),
            ("Script-10000.sql", FileName::Script { number: 10_000 }),
            ("scripts.lock", FileName::Lock),
            ("always/orders_view.sql", FileName::Always { name: "orders_view".to_owned() }),
            ("seeds/test.sql", FileName::Seed { name: "test".to_owned() }),
            ("seeds/demo.sql", FileName::Unexpected { suggestion: None }),
            ("always/a b.sql", FileName::Unexpected { suggestion: None }),
            ("always/README.md", FileName::Ignored),
            ("schema.lock", FileName::SchemaLock),
            ("schema.sql", FileName::Ignored),
            ("README.md", FileName::Ignored),
            (".gitkeep", FileName::Ignored),
        ];
        for (name, expected) in cases {
            assert_eq!(FileName::parse(name), expected, "{name}");
        }
    }

    #[test]
    fn a_near_miss_gets_a_suggested_name() {
        let cases = [
            ("script-7.sql", Some("Script-0007.sql")),
            ("Script-0007.SQL", Some("Script-0007.sql")),
            ("Script-0007 copy.sql", Some("Script-0007.sql")),
            ("Script-0007 (1).sql", Some("Script-0007.sql")),
            ("Script_0007.sql", Some("Script-0007.sql")),
            ("Script-00007.sql", Some("Script-0007.sql")),
            ("V7__orders.sql", Some("Script-0007.sql")),
            ("0007_orders.sql", Some("Script-0007.sql")),
            ("Script-0007.sql.orig", Some("Script-0007.sql")),
            ("baseline.sql", Some("Baseline.sql")),
            ("Baseline-48.sql", Some("Baseline-0048.sql")),
            ("Script-0000.sql", None),
            ("Script-99999999999.sql", None),
            ("orders.sql", None),
            ("notes.txt", None),
            ("Ünïcode.sql", None),
        ];
        for (name, expected) in cases {
            let expected = FileName::Unexpected { suggestion: expected.map(str::to_owned) };
            assert_eq!(FileName::parse(name), expected, "{name}");
        }
    }

    #[test]
    fn a_written_name_parses_to_its_number() {
        for number in [1, 9, 10, 999, 9999, 10_000, i32::MAX] {
            assert_eq!(FileName::parse(&script_name(number)), FileName::Script { number });
            assert_eq!(FileName::parse(&baseline_name(number)), FileName::Baseline { through: number });
        }
    }
}
