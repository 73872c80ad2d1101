//! What a script may change in its session, and how the engine resets it.

use onward_script::{Script, Statement, statements};

/// Resets what a script may have changed in its session: settings, role and user.
pub(super) const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;";

/// What the engine sends after a script. It sends nothing if the script cannot have changed the session, because the three
/// statements cost as much as a small table.
pub(super) fn reset_after(script: &Script) -> &'static str {
    let text = script.text();
    let is_plain_ddl = |statement: &Statement| {
        let begins = |words: &[&str]| words.iter().any(|word| statement.starts_with(text, &[word]));
        let has = |words: &[&str]| words.iter().any(|word| statement.find(text, word).is_some());
        // The server evaluates a default for existing rows, and it may call any function.
        let runs_code = has(&["set", "select", "execute"]) || begins(&["alter"]) && has(&["default"]);
        begins(&["create", "alter", "drop", "comment", "grant", "revoke"]) && !runs_code
    };
    if statements(text).iter().all(is_plain_ddl) { "" } else { RESET }
}
