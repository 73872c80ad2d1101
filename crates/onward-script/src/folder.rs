/// The folder of scripts as somebody has read it; the order of the entries does not matter.
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
    /// The file name; a name that is not UTF-8 comes with replacement characters.
    pub name: String,
    /// What the entry holds.
    pub content: Content,
}

/// What an entry of the folder holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// A regular file, or a link to one.
    File(Vec<u8>),
    /// A directory, a socket, a link that leads nowhere: with the word for it.
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
