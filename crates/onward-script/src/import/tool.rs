use std::fmt;
use std::str::FromStr;

/// A migration tool whose scripts and history table Onward can take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// DbUp: any names, in the order of their characters.
    DbUp,
    /// dbmate: `20240101120000_orders.sql` with `-- migrate:up`.
    Dbmate,
    /// Entity Framework Core: migrations in C#.
    Ef,
    /// Flyway: `V7__orders.sql`.
    Flyway,
    /// golang-migrate: `7_orders.up.sql`.
    GolangMigrate,
    /// goose: `7_orders.sql` with `-- +goose Up`.
    Goose,
    /// grate and RoundhousE: any names in the folder `up`.
    Grate,
    /// Liquibase: change sets in one file.
    Liquibase,
    /// refinery: `V7__orders.sql` or `U7__orders.sql`.
    Refinery,
    /// sqlx: `7_orders.sql` or `7_orders.up.sql`.
    Sqlx,
}

/// What brings the scripts of a tool into its order, and names one in its history table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A version: `1.10` follows `1.9`.
    Version(Vec<u64>),
    /// A name.
    Name(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(parts) => {
                f.write_str(&parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
            }
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// What a file is to its tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A change that runs once.
    Once {
        /// Its place in the order.
        key: Key,
        /// What its name says, without number and extension.
        title: String,
    },
    /// It runs again whenever it changes.
    Repeatable,
    /// It stands for every change up to its place, in a new database.
    Baseline {
        /// Its place in the order.
        key: Key,
        /// What its name says, without number and extension.
        title: String,
    },
    /// A change that is written in a programming language.
    Code,
    /// The tool's settings for the script beside it.
    Settings,
    /// It runs in one environment, such as test.
    Environment,
    /// It takes a change back.
    Undo,
    /// The tool would not run it.
    Other,
}

impl Tool {
    /// Every tool, by name.
    pub const ALL: [Self; 10] = [
        Self::DbUp,
        Self::Dbmate,
        Self::Ef,
        Self::Flyway,
        Self::GolangMigrate,
        Self::Goose,
        Self::Grate,
        Self::Liquibase,
        Self::Refinery,
        Self::Sqlx,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::DbUp => "dbup",
            Self::Dbmate => "dbmate",
            Self::Ef => "ef",
            Self::Flyway => "flyway",
            Self::GolangMigrate => "golang-migrate",
            Self::Goose => "goose",
            Self::Grate => "grate",
            Self::Liquibase => "liquibase",
            Self::Refinery => "refinery",
            Self::Sqlx => "sqlx",
        }
    }

    /// What a file is to this tool; `path` is relative to the folder of the scripts, with `/`.
    #[must_use]
    pub fn role(self, path: &str) -> Role {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        match extension {
            "sql" => {}
            // DbUp compares extensions without regard to case.
            "SQL" if self == Self::DbUp => {}
            "conf" if self == Self::Flyway && stem.ends_with(".sql") => return Role::Settings,
            _ if self.is_code(stem, extension) => return Role::Code,
            _ => return Role::Other,
        }
        match self {
            Self::Flyway => match stem.split_once("__") {
                Some((prefix, title)) if prefix.starts_with('V') && !prefix.contains('+') => {
                    once(version(&prefix[1..]), title)
                }
                // <https://documentation.red-gate.com/flyway/flyway-concepts/migrations/baseline-migrations>
                Some((prefix, title)) if prefix.starts_with('B') => {
                    match once(version(&prefix[1..]), title) {
                        Role::Once { key, title } => Role::Baseline { key, title },
                        other => other,
                    }
                }
                Some((prefix, _)) if prefix.starts_with('U') => Role::Undo,
                Some(("R", _)) => Role::Repeatable,
                _ => Role::Other,
            },
            Self::Refinery => match stem.split_once("__") {
                Some((prefix, title)) if prefix.starts_with(['V', 'U']) => once(number(&prefix[1..]), title),
                _ => Role::Other,
            },
            Self::Sqlx | Self::GolangMigrate | Self::Goose | Self::Dbmate => self.numbered(stem),
            Self::DbUp => once(Some(Key::Name(path.to_owned())), stem),
            Self::Grate => grate(path, stem),
            Self::Ef | Self::Liquibase => Role::Other,
        }
    }

    /// Whether a file that is not SQL is a change: a class of Flyway, a module of refinery, a function of goose, and what may be an
    /// `IScript` of DbUp.
    fn is_code(self, stem: &str, extension: &str) -> bool {
        let is_versioned = |role: Role| matches!(role, Role::Once { .. } | Role::Repeatable);
        match (self, extension) {
            (Self::Goose, "go") if stem.ends_with("_test") => false,
            (Self::Flyway, extension) if !PROGRAMS.contains(&extension) => false,
            (Self::Flyway, _) | (Self::Refinery, "rs") | (Self::Goose, "go") => {
                is_versioned(self.role(&format!("{stem}.sql")))
            }
            (Self::DbUp, "cs" | "fs" | "vb") => true,
            _ => false,
        }
    }

    fn numbered(self, stem: &str) -> Role {
        let plain = match self {
            Self::Sqlx | Self::GolangMigrate => {
                if stem.ends_with(".down") {
                    return Role::Undo;
                }
                match stem.strip_suffix(".up") {
                    Some(plain) => plain,
                    None if self == Self::Sqlx => stem,
                    None => return Role::Other,
                }
            }
            _ => stem,
        };
        match plain.split_once('_') {
            Some((digits, title)) => once(number(digits), title),
            // `20240101120000orders.sql` and `20240101120000-orders.sql`
            None if self == Self::Dbmate => {
                let end = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
                once(number(&plain[..end]), &plain[end..])
            }
            None => Role::Other,
        }
    }

    /// Whether the tool reads the folder only, and not those in it.
    #[must_use]
    pub const fn ignores_folders(self) -> bool {
        matches!(self, Self::Sqlx | Self::GolangMigrate | Self::Goose | Self::Dbmate)
    }

    /// The key of a script by its old name.
    #[must_use]
    pub fn key(self, was: &str) -> Option<Key> {
        match self.role(was) {
            Role::Once { key, .. } | Role::Baseline { key, .. } => Some(key),
            _ if matches!(self, Self::Ef | Self::Liquibase) => Some(Key::Name(was.to_owned())),
            _ => None,
        }
    }

    /// The key of a version as the history table of this tool has it.
    #[must_use]
    pub fn recorded(self, text: &str) -> Option<Key> {
        match self {
            Self::Flyway => version(text),
            Self::Refinery | Self::Sqlx | Self::GolangMigrate | Self::Goose | Self::Dbmate => number(text),
            Self::DbUp | Self::Grate | Self::Ef | Self::Liquibase => Some(Key::Name(text.to_owned())),
        }
    }

    /// Whether a recorded key means the script of that key. DbUp records the name of an embedded resource, with its namespace and
    /// with dots for folders; grate may record the folder.
    #[must_use]
    pub fn is_same(self, recorded: &Key, script: &Key) -> bool {
        let (Key::Name(recorded), Key::Name(script)) = (recorded, script) else { return recorded == script };
        let ends = |name: &str| {
            recorded
                .strip_suffix(name)
                .is_some_and(|start| start.is_empty() || start.ends_with(['.', '/', '\\']))
        };
        match self {
            Self::DbUp => ends(script) || ends(&script.replace('/', ".")),
            Self::Grate => ends(script) || script.rsplit('/').next() == Some(recorded.as_str()),
            _ => recorded == script,
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|tool| tool.id() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|tool| tool.id()).collect();
            format!("unknown tool: use one of {}", known.join(", "))
        })
    }
}

/// The languages of Flyway's migrations besides SQL.
/// <https://documentation.red-gate.com/flyway/flyway-concepts/migrations/script-migrations>
const PROGRAMS: [&str; 11] =
    ["java", "class", "kt", "groovy", "scala", "ps1", "bat", "cmd", "sh", "bash", "py"];

/// The folders that grate reads.
/// <https://erikbra.github.io/grate/getting-started/>
pub(super) const GRATE_FOLDERS: [&str; 18] = [
    "beforeMigration",
    "createDatabase",
    "dropDatabase",
    "alterDatabase",
    "runAfterCreateDatabase",
    "runBeforeUp",
    "up",
    "down",
    "runFirstAfterUp",
    "functions",
    "views",
    "sprocs",
    "triggers",
    "indexes",
    "runAfterOtherAnyTimeScripts",
    "permissions",
    "afterMigration",
    "migration",
];

fn grate(path: &str, stem: &str) -> Role {
    let (folder, script) = path.split_once('/').unwrap_or(("up", path));
    let marks: Vec<_> = stem.split('.').map(str::to_ascii_uppercase).collect();
    let has = |mark: &str| marks.iter().any(|it| it == mark);
    match folder {
        "alterDatabase" | "dropDatabase" | "createDatabase" => Role::Other,
        "down" => Role::Undo,
        _ if has("ENV") => Role::Environment,
        "up" if !has("EVERYTIME") => once(Some(Key::Name(script.to_owned())), stem),
        folder if GRATE_FOLDERS.contains(&folder) => Role::Repeatable,
        _ => Role::Other,
    }
}

fn once(key: Option<Key>, title: &str) -> Role {
    let title = title.replace(['_', '-', '.'], " ");
    key.map_or(Role::Other, |key| Role::Once { key, title: title.trim().to_owned() })
}

/// Flyway's versions: numbers between dots or underscores; zeros at the end say nothing.
/// <https://documentation.red-gate.com/flyway/flyway-concepts/migrations/versioned-migrations>
fn version(text: &str) -> Option<Key> {
    let parts: Result<Vec<u64>, _> = text.split(['.', '_']).map(str::parse).collect();
    let mut parts = parts.ok()?;
    while parts.len() > 1 && parts.last() == Some(&0) {
        parts.pop();
    }
    Some(Key::Version(parts))
}

fn number(text: &str) -> Option<Key> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten().map(|number| Key::Version(vec![number]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_its_own_names() {
        let cases = [
            (Tool::Flyway, "V1_10__add_orders.sql", Some(("1.10", "add orders"))),
            (Tool::Flyway, "deep/V2.0__x.sql", Some(("2", "x"))),
            (Tool::Flyway, "V20240101__x.sql", Some(("20240101", "x"))),
            (Tool::Refinery, "U3__x.sql", Some(("3", "x"))),
            (Tool::Sqlx, "0007_add-orders.sql", Some(("7", "add orders"))),
            (Tool::Sqlx, "7_x.up.sql", Some(("7", "x"))),
            (Tool::GolangMigrate, "000007_x.up.sql", Some(("7", "x"))),
            (Tool::Goose, "00001_x.sql", Some(("1", "x"))),
            (Tool::Dbmate, "20240101120000_x.sql", Some(("20240101120000", "x"))),
            (Tool::Dbmate, "20240101-x.sql", Some(("20240101", "x"))),
            (Tool::DbUp, "2024/Script 1.sql", Some(("2024/Script 1.sql", "Script 1"))),
            (Tool::Grate, "up/0001_x.sql", Some(("0001_x.sql", "0001 x"))),
        ];
        for (tool, path, expected) in cases {
            let Role::Once { key, title } = tool.role(path) else { panic!("{tool} {path}") };
            let found = (key.to_string(), title);
            assert_eq!(Some((found.0.as_str(), found.1.as_str())), expected, "{tool} {path}");
        }
        let others = [
            (Tool::Flyway, "R__views.sql", Role::Repeatable),
            (Tool::Flyway, "U7__x.sql", Role::Undo),
            (Tool::Flyway, "afterMigrate.sql", Role::Other),
            (Tool::Flyway, "deep/V3__Fill.java", Role::Code),
            (Tool::Flyway, "R__Views.kt", Role::Code),
            (Tool::Flyway, "Helper.java", Role::Other),
            (Tool::Flyway, "V5__countries.csv", Role::Other),
            (Tool::Flyway, "V1__init.sql~", Role::Other),
            (Tool::Flyway, "V1__x.sql.conf", Role::Settings),
            (Tool::Refinery, "V3__fill.rs", Role::Code),
            (Tool::Refinery, "mod.rs", Role::Other),
            (Tool::Goose, "00003_fill.go", Role::Code),
            (Tool::Goose, "00003_fill_test.go", Role::Other),
            (Tool::DbUp, "Fill.cs", Role::Code),
            (Tool::Sqlx, "1_x.rs", Role::Other),
            (Tool::Sqlx, "7_x.down.sql", Role::Undo),
            (Tool::GolangMigrate, "7_x.sql", Role::Other),
            (Tool::Sqlx, "7.sql", Role::Other),
            (Tool::Flyway, "V+6__x.sql", Role::Other),
            (Tool::Grate, "views/v.sql", Role::Repeatable),
            (Tool::Grate, "alterDatabase/x.sql", Role::Other),
            (Tool::DbUp, "notes.txt", Role::Other),
        ];
        for (tool, path, expected) in others {
            assert_eq!(tool.role(path), expected, "{tool} {path}");
        }
    }

    #[test]
    fn versions_are_numbers_and_names_are_texts() {
        let key = |tool: Tool, text: &str| tool.recorded(text).expect("is a version");
        assert!(key(Tool::Flyway, "1.9") < key(Tool::Flyway, "1.10"));
        assert_eq!(key(Tool::Flyway, "1.0"), key(Tool::Flyway, "1"));
        assert!(Tool::Sqlx.recorded("x").is_none());
        let name = |text: &str| Key::Name(text.to_owned());
        assert!(Tool::DbUp.is_same(&name("Shop.Scripts.Script 1.sql"), &name("Script 1.sql")));
        assert!(Tool::DbUp.is_same(&name("Shop.Scripts.2024.a.sql"), &name("2024/a.sql")));
        assert!(!Tool::DbUp.is_same(&name("Shop.Scripts.MyScript 1.sql"), &name("Script 1.sql")));
        assert!(Tool::Grate.is_same(&name("up/1.sql"), &name("1.sql")));
        assert!(Tool::Grate.is_same(&name("1.sql"), &name("v1/1.sql")));
        assert!(!Tool::Grate.is_same(&name("1.sql"), &name("v1/11.sql")));
    }

    #[test]
    fn a_tool_is_named_as_it_is_read() {
        for tool in Tool::ALL {
            assert_eq!(tool.id().parse(), Ok(tool));
        }
        assert!("rails".parse::<Tool>().is_err());
    }
}
