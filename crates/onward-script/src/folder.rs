/// The content of a folder of scripts, read by the caller. The order of the entries does not matter.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    /// The folder's path as a person would write it, used in messages: `sql`.
    pub path: String,
    /// Everything in it, dotfiles too.
    pub entries: Vec<Entry>,
}

/// One entry of the folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The file name; a name that is not UTF-8 has replacement characters.
    pub name: String,
    /// What the entry holds.
    pub content: Content,
}

/// What an entry of the folder holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A regular file, or a link to one.
    File(Vec<u8>),
    /// Not a file (a directory, a socket, a broken link), with the words for it.
    Other(&'static str),
    /// A file that could not be read, with the system's reason.
    Unreadable(String),
}

impl Folder {
    /// The path of a file in it, as messages show it.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}
