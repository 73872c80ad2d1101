use crate::finding::Finding;
use crate::folder::{Content, Folder};
use crate::name::{ALWAYS, FileName, SEEDS};
use crate::rule::Rule;

/// Finds every entry that does not belong in the folder, and suggests the correct name for a near miss.
pub(crate) fn check(folder: &Folder) -> Vec<Finding> {
    folder
        .entries
        .iter()
        .filter_map(|entry| {
            let path = folder.path_of(&entry.name);
            match (FileName::parse(&entry.name), &entry.content) {
                (FileName::Ignored, _) => None,
                (_, Content::Other(what)) => {
                    let message = format!("{what} does not belong in a folder of scripts");
                    Some(Finding::file(Rule::UnexpectedFile, path, message, "move it out of the folder"))
                }
                (FileName::Unexpected { suggestion: Some(name) }, _) => {
                    let message = "this is not the name of a script, so the file would never run".to_owned();
                    let taken = folder.entries.iter().any(|other| other.name == name);
                    let help = if taken {
                        format!("`{name}` exists already: delete this file or give it the next free number")
                    } else {
                        format!("rename it to `{name}`")
                    };
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                (FileName::Unexpected { .. }, _) if entry.name.starts_with(SEEDS) => {
                    let message = "the folder `seeds/` holds `development.sql` and `test.sql` only";
                    let help = "put the data into one of them, or a numbered script if production needs it";
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                (FileName::Unexpected { .. }, _) if entry.name.starts_with(ALWAYS) => {
                    let message = "this is not the name of a script in `always/`";
                    let help = "name it with letters, digits, `_`, `-` and `.`, and end it with `.sql`";
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                (FileName::Unexpected { suggestion: None }, _) => {
                    let message =
                        "the folder may hold only the baseline, scripts, `always/`, `seeds/`, `scripts.lock`, `schema.lock`, `schema.sql` and `README.md`";
                    let help =
                        "name a script `Script-NNNN.sql` (from 0001 on), or move the file out of the folder";
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                _ => None,
            }
        })
        .collect()
}
