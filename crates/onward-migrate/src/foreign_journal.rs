use std::fmt;

use onward_script::import::{Key, Role, Tool};
use onward_script::{History, Script};

/// The history table of another migration tool, as far as it tells what was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForeignJournal {
    /// The tool.
    pub tool: Tool,
    /// The table with its schema.
    pub table: String,
    /// The scripts that it records as applied.
    pub applied: Vec<Key>,
    /// A version up to which everything is applied, where the tool keeps no list.
    pub through: Option<Key>,
    /// What it records as failed, or as begun and not ended.
    pub unfinished: Vec<String>,
}

impl fmt::Display for ForeignJournal {
    /// `flyway up to 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.applied.iter().chain(&self.through);
        let last = match self.applied.last() {
            Some(Key::Name(_)) => self.applied.last(),
            _ => versions.max(),
        };
        match last {
            Some(last) => write!(f, "{} up to {last}", self.tool),
            None => write!(f, "{}, which has applied nothing", self.tool),
        }
    }
}

impl ForeignJournal {
    /// The last script of a history whose old name is recorded as applied; `None` if no script has an old name.
    ///
    /// # Errors
    ///
    /// A sentence, if the table and the old names do not agree: a failed script, a script that was left out, or one that the history
    /// does not have.
    pub fn last_applied(&self, history: &History) -> Result<Option<i32>, String> {
        let (table, tool) = (&self.table, self.tool);
        if let Some(unfinished) = self.unfinished.first() {
            return Err(format!("{table} says that {unfinished} has failed or is not complete"));
        }
        let named: Vec<_> =
            history.all().filter_map(|script| Some((script, script.directives.was.as_deref()?))).collect();
        if named.is_empty() {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(named.len());
        for (script, was) in &named {
            let key = tool.key(was);
            keys.push(key.ok_or_else(|| format!("{}: `{was}` is not a name of {tool}", script.file_name()))?);
        }
        // A baseline of Flyway stands for what is at or below it. A database that is older than it has run that one by one.
        let baseline = named.first().is_some_and(|(_, was)| matches!(tool.role(was), Role::Baseline { .. }));
        let baseline = keys.first().filter(|_| baseline);
        let is_same = |recorded: &Key, key: &Key| {
            recorded == key || tool.is_same(recorded, key) && !keys.contains(recorded)
        };
        let is_recorded = |key: &Key| {
            self.applied
                .iter()
                .any(|recorded| is_same(recorded, key) || Some(key) == baseline && recorded >= key)
                || self.through.as_ref().is_some_and(|through| key <= through)
        };
        let count = keys.iter().take_while(|key| is_recorded(key)).count();
        if let Some(late) = keys[count..].iter().position(is_recorded) {
            let file = |index: usize| {
                named
                    .get(index)
                    .map_or_else(String::new, |(script, was)| format!("{was} ({})", script.file_name()))
            };
            return Err(format!(
                "{table} has {} and not {}, which comes before it",
                file(count + late),
                file(count)
            ));
        }
        let is_always = |recorded: &Key| {
            let names = history.always.iter().map(|script| Key::Name(script.name.clone()));
            names.into_iter().any(|name| tool.is_same(recorded, &name))
        };
        let unknown = |recorded: &&Key| {
            let covered = self.through.iter().chain(baseline).any(|through| *recorded <= through);
            !covered && !keys.iter().any(|key| is_same(recorded, key)) && !is_always(recorded)
        };
        // golang-migrate records nothing but its last version.
        let last = self.through.as_ref().filter(|last| tool == Tool::GolangMigrate && !keys.contains(last));
        if let Some(unknown) = last.or_else(|| self.applied.iter().find(unknown)) {
            return Err(format!("{table} has {unknown}, and no script says `-- onward: was` of it"));
        }
        let last = count.checked_sub(1).and_then(|last| named.get(last));
        let last: &Script =
            last.ok_or_else(|| format!("{table} records none of these scripts as applied"))?.0;
        Ok(Some(last.number))
    }
}

#[cfg(test)]
mod tests {
    use onward_script::{CheckOptions, Content, Entry, Folder, Known, check};

    use super::*;

    fn history(old: &[&str]) -> History {
        let entries = old.iter().enumerate().map(|(index, was)| {
            let name = if index == 0 { "Baseline.sql".to_owned() } else { format!("Script-{index:04}.sql") };
            let directive = if was.is_empty() { String::new() } else { format!("-- onward: was {was}\n") };
            Entry { name, content: Content::File(format!("{directive}SELECT 1;").into()) }
        });
        let folder = Folder { path: "sql".to_owned(), entries: entries.collect() };
        check(&folder, CheckOptions::default(), &Known::default()).history.expect("passes the rules")
    }

    fn journal(tool: Tool, applied: &[&str]) -> ForeignJournal {
        let applied = applied.iter().map(|text| tool.recorded(text).expect("is a key")).collect();
        ForeignJournal { tool, table: "t".to_owned(), applied, through: None, unfinished: Vec::new() }
    }

    #[test]
    fn the_old_names_say_how_far_a_database_is() {
        let flyway = history(&["V1__a.sql", "V1.1__b.sql", "V2__c.sql", ""]);
        let cases = [
            (&["1"][..], Ok(Some(0))),
            (&["1", "1.1", "2"], Ok(Some(2))),
            (
                &["1", "2"],
                Err(
                    "t has V2__c.sql (Script-0002.sql) and not V1.1__b.sql (Script-0001.sql), which comes before it",
                ),
            ),
            (&["1", "1.1", "2", "3"], Err("t has 3, and no script says `-- onward: was` of it")),
            (&[], Err("t records none of these scripts as applied")),
        ];
        for (applied, expected) in cases {
            let found = journal(Tool::Flyway, applied).last_applied(&flyway);
            assert_eq!(found, expected.map_err(str::to_owned), "{applied:?}");
        }
        let baseline =
            ForeignJournal { through: Tool::Flyway.recorded("1.1"), ..journal(Tool::Flyway, &["2"]) };
        assert_eq!(baseline.last_applied(&flyway), Ok(Some(2)));
        let dirty = ForeignJournal { unfinished: vec!["7".to_owned()], ..journal(Tool::GolangMigrate, &[]) };
        assert_eq!(
            dirty.last_applied(&flyway),
            Err("t says that 7 has failed or is not complete".to_owned())
        );
        assert_eq!(journal(Tool::Flyway, &["1"]).last_applied(&history(&["", ""])), Ok(None));
        assert_eq!(
            journal(Tool::Sqlx, &["1"]).last_applied(&flyway),
            Err("Baseline.sql: `V1__a.sql` is not a name of sqlx".to_owned())
        );
        let dbup = history(&["2024/a.sql", "b.sql"]);
        assert_eq!(journal(Tool::DbUp, &["Shop.Scripts.2024.a.sql"]).last_applied(&dbup), Ok(Some(0)));
        let based = history(&["B5__all.sql", "V6__f.sql"]);
        assert_eq!(journal(Tool::Flyway, &["1", "2", "5", "6"]).last_applied(&based), Ok(Some(1)));
        assert_eq!(journal(Tool::Flyway, &["1", "5"]).last_applied(&based), Ok(Some(0)));
        assert!(
            journal(Tool::Flyway, &["1", "2"]).last_applied(&based).is_err(),
            "it is older than the baseline"
        );
        let golang = history(&["1_a.up.sql", "2_b.up.sql"]);
        let at = |version| ForeignJournal {
            through: Tool::GolangMigrate.recorded(version),
            ..journal(Tool::GolangMigrate, &[])
        };
        assert_eq!(at("1").last_applied(&golang), Ok(Some(0)));
        let missing = "t has 7, and no script says `-- onward: was` of it".to_owned();
        assert_eq!(at("7").last_applied(&golang), Err(missing));
    }

    #[test]
    fn a_journal_is_told_in_a_few_words() {
        assert_eq!(journal(Tool::Flyway, &["1.10", "1.9"]).to_string(), "flyway up to 1.10");
        assert_eq!(journal(Tool::DbUp, &["z.sql", "a.sql"]).to_string(), "dbup up to a.sql");
        assert_eq!(journal(Tool::Goose, &[]).to_string(), "goose, which has applied nothing");
    }
}
