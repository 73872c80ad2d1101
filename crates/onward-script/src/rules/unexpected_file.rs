use crate::finding::Finding;
use crate::folder::{Content, Folder};
use crate::name::FileName;
use crate::rule::Rule;

/// Every entry that has no business in the folder, with the name that a near miss should have.
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
                    let message = "this name is no script's, so it would never run".to_owned();
                    let taken = folder.entries.iter().any(|other| other.name == name);
                    let help = if taken {
                        format!("`{name}` exists already: delete this file or give it the next free number")
                    } else {
                        format!("rename it to `{name}`")
                    };
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                (FileName::Unexpected { suggestion: None }, _) => {
                    let message = "only the baseline, scripts, `scripts.lock` and `README.md` live here";
                    let help =
                        "name a script `Script-NNNN.sql` (from 0001 on), or move the file out of the folder";
                    Some(Finding::file(Rule::UnexpectedFile, path, message, help))
                }
                _ => None,
            }
        })
        .collect()
}
