/// A place in a text: both numbers count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The column, in characters and not in bytes.
    pub column: usize,
}

impl std::fmt::Display for LineColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The line and column of a byte offset. An offset past the end counts as the end; an offset inside a
/// character counts as its start.
#[must_use]
pub fn line_column(text: &str, offset: usize) -> LineColumn {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    LineColumn {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_characters_not_bytes() {
        let text = "SELECT 'Zoë',\n  'ß' x";
        let place = |needle: &str| line_column(text, text.find(needle).expect("is there")).to_string();
        assert_eq!(place("SELECT"), "1:1");
        assert_eq!(place(",\n"), "1:13");
        assert_eq!(place("x"), "2:7");
        assert_eq!(line_column(text, 999).to_string(), "2:8");
        assert_eq!(line_column("", 0).to_string(), "1:1");
    }
}
