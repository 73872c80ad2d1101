use std::fs;
use std::io;
use std::path::Path;

use onward_script::{ALWAYS, Content, Entry, Finding, Folder, Rule, SEEDS};

/// Reads everything in `root/folder` with its `always/` and `seeds/` into memory.
///
/// # Errors
///
/// A finding, if the folder itself cannot be listed. A problem with one entry is part of the folder.
pub fn read_folder(root: &Path, folder: &str) -> Result<Folder, Finding> {
    let unlisted = |error: io::Error| {
        let message = format!("the folder cannot be read: {error}");
        let help = format!("create `{folder}` with a `Baseline.sql`, or correct the path in build.rs");
        Finding::file(Rule::Baseline, folder, message, help)
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(root.join(folder)).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if [ALWAYS, SEEDS].contains(&name.as_str()) && entry.path().is_dir() {
            for entry in fs::read_dir(entry.path()).map_err(unlisted)? {
                let entry = entry.map_err(unlisted)?;
                let name = format!("{name}/{}", entry.file_name().to_string_lossy());
                entries.push(Entry { name, content: read_entry(&entry.path()) });
            }
            continue;
        }
        entries.push(Entry { name, content: read_entry(&entry.path()) });
    }
    Ok(Folder { path: folder.to_owned(), entries })
}

fn read_entry(path: &Path) -> Content {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => match fs::read(path) {
            Ok(bytes) => Content::File(bytes),
            Err(error) => Content::Unreadable(error.to_string()),
        },
        Ok(metadata) if metadata.is_dir() => Content::Other("a directory"),
        Ok(_) => Content::Other("a device, socket or pipe"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Other("a broken link"),
        Err(error) => Content::Unreadable(error.to_string()),
    }
}
