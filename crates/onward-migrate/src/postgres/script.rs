//! What a script may change in its session, and what sets it back.

use onward_script::{Script, Statement, statements};

/// Sets back what a script may have changed in its session: settings, role and user.
pub(super) const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;";

/// What the engine sends behind a script: nothing where the script cannot have changed the session, because the three
/// statements cost as much as a small table.
pub(super) fn reset_after(script: &Script) -> &'static str {
    let text = script.text();
    let is_plain_ddl = |statement: &Statement| {
        let begins = |words: &[&str]| words.iter().any(|word| statement.starts_with(text, &[word]));
        let has = |words: &[&str]| words.iter().any(|word| statement.find(text, word).is_some());
        // A default is evaluated for the rows that are there already, and may call any function.
        let runs_code = has(&["set", "select", "execute"]) || begins(&["alter"]) && has(&["default"]);
        begins(&["create", "alter", "drop", "comment", "grant", "revoke"]) && !runs_code
    };
    if statements(text).iter().all(is_plain_ddl) { "" } else { RESET }
}
