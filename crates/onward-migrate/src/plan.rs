use onward_script::{Dialect, History, Script, statements};

use crate::error::{Error, ErrorKind};
use crate::state::{SchemaState, Status};

/// What a migration would do: scripts in order, by transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// The transactions in order.
    pub transactions: Vec<Transaction<'a>>,
}

/// Scripts that commit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction<'a> {
    /// One script or, with `--single-transaction`, several consecutive ones. After a script that adds a value to an enum a new
    /// transaction begins, because no script can use the value before. The scripts in `always/` always commit together.
    Together(Vec<&'a Script>),
    /// A no-transaction script.
    None(&'a Script),
}

impl<'a> Transaction<'a> {
    /// Its scripts in order; there is at least one.
    #[must_use]
    pub fn scripts(&self) -> &[&'a Script] {
        match self {
            Self::Together(scripts) => scripts,
            Self::None(script) => std::slice::from_ref(script),
        }
    }
}

impl<'a> Plan<'a> {
    /// Decides what to run to bring a database from `status` to script `to` (the last one by default).
    ///
    /// # Errors
    ///
    /// If a migration cannot start from the state, or `to` is not the number of a script that is still to run.
    pub fn make(
        history: &'a History,
        status: &Status,
        to: Option<i32>,
        single_transaction: bool,
    ) -> Result<Self, Error> {
        match status.state {
            SchemaState::Diverged | SchemaState::Unversioned => return Err(Error::state(status)),
            SchemaState::Current | SchemaState::Ahead => {}
            SchemaState::Empty | SchemaState::Behind => {}
        }
        let to = target(history, status, to)?;
        let pending = status.pending.iter().take_while(|number| **number <= to);
        let mut transactions: Vec<Transaction<'a>> = Vec::new();
        let mut must_commit = false;
        for script in pending.filter_map(|number| history.get(*number)) {
            match transactions.last_mut() {
                _ if script.directives.no_transaction => transactions.push(Transaction::None(script)),
                Some(Transaction::Together(scripts)) if single_transaction && !must_commit => {
                    scripts.push(script)
                }
                _ => transactions.push(Transaction::Together(vec![script])),
            }
            must_commit = single_transaction && adds_enum_value(history, script);
        }
        // What they define may need the last script.
        let always: Vec<_> =
            history.always.iter().filter(|script| status.always.contains(&script.name)).collect();
        if to == history.latest() && !always.is_empty() {
            transactions.push(Transaction::Together(always));
        }
        Ok(Self { transactions })
    }

    /// The scripts in order, those in `always/` last.
    pub fn scripts(&self) -> impl Iterator<Item = &'a Script> {
        self.transactions.iter().flat_map(Transaction::scripts).copied()
    }
}

/// Whether a later script can use what this one adds only after a commit.
/// <https://www.postgresql.org/docs/current/sql-altertype.html#notes>
fn adds_enum_value(history: &History, script: &Script) -> bool {
    let text = script.text();
    history.dialect == Dialect::Postgres
        && statements(text).iter().any(|statement| statement.adds_enum_value(text).is_some())
}

fn target(history: &History, status: &Status, to: Option<i32>) -> Result<i32, Error> {
    let latest = history.latest();
    let to = to.unwrap_or(latest);
    let first = history.baseline.number;
    if to < first || to > latest {
        let message = format!("there is no script {to:04}: this binary embeds {first:04} to {latest:04}");
        return Err(Error::new(ErrorKind::Usage, message, "choose a number of this range for `--to`"));
    }
    match status.applied {
        Some(applied) if applied > to && status.state != SchemaState::Ahead => {
            let message = format!("the database is at script {applied:04} already, beyond {to:04}");
            let help = "scripts only go forward; write a new script that reverses the change";
            Err(Error::new(ErrorKind::Usage, message, help))
        }
        _ => Ok(to),
    }
}
