use std::fmt::{self, Write as _};

/// The rules for a folder of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The folder holds only scripts and their lock.
    UnexpectedFile,
    /// The folder has one baseline, and the first script follows it.
    Baseline,
    /// Numbers have no gap and no duplicate.
    Sequence,
    /// A sealed script never changes.
    Sealed,
    /// The description of the schema is of the sealed scripts.
    Schema,
    /// A release holds only sealed scripts.
    Draft,
    /// A script is readable text with at least one statement.
    Content,
    /// A directive is known and in the right place.
    Directive,
    /// The text is SQL of the dialect.
    Syntax,
    /// The transaction belongs to the migrator.
    Transaction,
    /// A script in `always/` can run again.
    Repeatable,
    /// A script that removes something carries the directive `contract`.
    Contract,
    /// DDL that locks or rewrites a table is intended.
    Lint,
}

impl Rule {
    /// The rule's name in messages and documents.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.doc().id
    }

    /// The documentation of the rule.
    ///
    /// # Panics
    ///
    /// Never: a test checks that the table is complete.
    #[must_use]
    pub fn doc(self) -> &'static RuleDoc {
        RULES.iter().find(|doc| doc.rule == self).expect("every rule is in the table")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The documentation of a rule.
#[derive(Debug)]
pub struct RuleDoc {
    /// The rule.
    pub rule: Rule,
    /// Its name.
    pub id: &'static str,
    /// What it finds.
    pub what: &'static str,
    /// Why that matters.
    pub why: &'static str,
    /// An example that breaks the rule, and the remedy.
    pub example: &'static str,
}

/// Every rule, in the order in which they are checked.
pub const RULES: &[RuleDoc] = &[
    RuleDoc {
        rule: Rule::UnexpectedFile,
        id: "unexpected-file",
        what: "A file in the folder is not the baseline, a `Script-NNNN.sql`, a script in `always/` or `seeds/`, `scripts.lock`, `schema.lock`, `schema.sql`, \
               `README.md` or a dotfile.",
        why: "A script with a slightly wrong name would never run, and nobody would notice.",
        example: "`script-7.sql` must be called `Script-0007.sql`.",
    },
    RuleDoc {
        rule: Rule::Baseline,
        id: "baseline",
        what: "There is no baseline, there are two, or the first script does not follow the baseline.",
        why: "An empty database gets the baseline first. Without exactly one, its start is undefined.",
        example: "After `Baseline-0048.sql` the first script is `Script-0049.sql`.",
    },
    RuleDoc {
        rule: Rule::Sequence,
        id: "sequence",
        what: "A number is missing or used twice.",
        why: "Databases that were upgraded on different days would end with different schemas.",
        example: "`Script-0003.sql` and `Script-0005.sql` without `Script-0004.sql`: renumber the later one.",
    },
    RuleDoc {
        rule: Rule::Sealed,
        id: "sealed",
        what: "A script that `scripts.lock` lists was edited, renamed or deleted, or the lock itself was \
               edited.",
        why: "The script has already run on some databases, and an edit would never reach them.",
        example: "Restore the script with git and put the change into a new one: \
                  `app script new \"What changes\"`.",
    },
    RuleDoc {
        rule: Rule::Schema,
        id: "schema",
        what: "`schema.lock` cannot be read, describes other texts than the sealed ones, or ends before the last of them. This \
               is a warning, and the binary embeds what it describes rightly.",
        why: "`adopt` and `status --drift` compare a database with this description.",
        example: "After a merge: `app script seal` writes the file anew.",
    },
    RuleDoc {
        rule: Rule::Draft,
        id: "draft",
        what: "A script is not in `scripts.lock` yet: a warning in the dev profile, an error in release.",
        why: "A draft may still change. A script that reaches production must not.",
        example: "Run `app script seal` and commit `scripts.lock` with the script.",
    },
    RuleDoc {
        rule: Rule::Content,
        id: "content",
        what: "A script is empty, holds only comments, is not UTF-8, contains a NUL character or a merge \
               conflict, or cannot be read. A new one at the end that holds no statement yet is left out, with a warning.",
        why: "The database would get something that nobody meant to run.",
        example: "`<<<<<<< HEAD` in a script: resolve the conflict.",
    },
    RuleDoc {
        rule: Rule::Directive,
        id: "directive",
        what: "A `-- onward:` comment is unknown, given twice, or comes after the first statement.",
        why: "A misspelled directive would have no effect, and nobody would notice.",
        example: "`-- onward: no-transactions` must read `-- onward: no-transaction`.",
    },
    RuleDoc {
        rule: Rule::Syntax,
        id: "syntax",
        what: "PostgreSQL: the text does not parse. SQL Server: what the server's parser refuses, as far as it can be known \
               without the server (strings, brackets, parentheses, blocks, commas, the shape of definitions, `GO` lines); a \
               command of psql or sqlcmd; `USE`. A word that is almost a keyword is a warning. \
               `-- onward: syntax-unchecked REASON` at the top leaves the syntax of a script to the server.",
        why: "The database would refuse the script in the middle of an upgrade.",
        example: "`CREATE TABEL orders (…)`: a caret points at the word.",
    },
    RuleDoc {
        rule: Rule::Transaction,
        id: "transaction",
        what: "The script begins or ends a transaction, or uses an enum value that it adds. Or a statement \
               that cannot run in a transaction lacks `-- onward: no-transaction`, or is not alone in its \
               script.",
        why: "A script and its journal row commit together or not at all. A `COMMIT` in the script would \
              break this.",
        example: "`CREATE INDEX CONCURRENTLY` goes into a script of its own that begins with \
                  `-- onward: no-transaction`.",
    },
    RuleDoc {
        rule: Rule::Repeatable,
        id: "repeatable",
        what: "A statement of a script in `always/` or `seeds/` cannot run a second time, as far as its first words tell.",
        why: "Scripts in `always/` run again whenever they change, and after each numbered script; seeds whenever the schema of a \
              development database has changed.",
        example: "`CREATE VIEW v …`: write `CREATE OR REPLACE VIEW v …`, or `DROP VIEW IF EXISTS v;` before it.",
    },
    RuleDoc {
        rule: Rule::Contract,
        id: "contract",
        what: "A draft drops or renames something, or changes a column's type, without \
               `-- onward: contract`.",
        why: "While a deployment runs, the older binary still uses what the script removes. The directive \
              raises the floor, so that older binaries stop.",
        example: "Add `-- onward: contract` once no running binary uses the column.",
    },
    RuleDoc {
        rule: Rule::Lint,
        id: "lint",
        what: "A draft holds something that locks or rewrites a table, or has surprising effects later: by squawk's rules \
               for PostgreSQL, by our own for SQL Server. This is a warning in the dev profile and an error in release.",
        why: "An `ALTER TABLE` that takes a minute on a large table is a minute of outage.",
        example: "`-- onward: allow index-offline the table is small` above the statement, always with the reason.",
    },
];

/// The rules as a document.
#[must_use]
pub fn rules_markdown() -> String {
    let mut text = "# The rules\n\n`cargo build` and `app script check` apply these rules to a folder of \
                    scripts. `app script rules` generates this page from the table of rules.\n"
        .to_owned();
    for doc in RULES {
        let RuleDoc { id, what, why, example, .. } = doc;
        write!(text, "\n## {id}\n\n{what}\n\n**Why:** {why}\n\n**Example:** {example}\n")
            .expect("a String takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_rule_once_and_in_order() {
        let listed: Vec<_> = RULES.iter().map(|doc| doc.rule).collect();
        let mut sorted = listed.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(listed, sorted);
        assert_eq!(listed.last(), Some(&Rule::Lint), "the table lacks the last rule");
        assert_eq!(listed.len(), Rule::Lint as usize + 1);
    }
}
