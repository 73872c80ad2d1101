use std::borrow::Cow;
use std::ops::Range;

use crate::finding::Finding;
use crate::rule::Rule;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The normalised text of a script: no byte order mark, and LF instead of CRLF. Its digest does not depend on
/// an editor or on git's `autocrlf`. Text that is not UTF-8 is a finding.
pub(crate) fn normalise<'a>(path: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, Finding> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        let help = "save it as UTF-8 (iconv -f UTF-16 -t UTF-8)";
        return Err(Finding::file(Rule::Content, path, "the file is UTF-16, not UTF-8", help));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(path, bytes, error.valid_up_to()))?;
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").into() } else { text.into() })
}

fn not_utf8(path: &str, bytes: &[u8], valid: usize) -> Finding {
    let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
    Finding::file(
        Rule::Content,
        path,
        format!("byte 0x{:02x} on line {line} is not UTF-8", bytes[valid]),
        "save the file as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8)",
    )
}

/// The span of the whole line that a byte offset lies on, without its line end.
pub(crate) fn line_span(text: &str, offset: usize) -> Range<usize> {
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[offset..].find('\n').map_or(text.len(), |newline| offset + newline);
    start..end
}

/// A text on one line, without what a terminal would obey: its control characters as Rust writes them.
pub(crate) fn on_one_line(text: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_byte_order_marks_do_not_change_the_text() {
        for bytes in [&b"SELECT 1;\nSELECT 2;\n"[..], b"\xef\xbb\xbfSELECT 1;\r\nSELECT 2;\r\n"] {
            assert_eq!(normalise("x", bytes).expect("is UTF-8"), "SELECT 1;\nSELECT 2;\n");
        }
        assert_eq!(normalise("x", b"a\rb").expect("is UTF-8"), "a\rb");
    }

    #[test]
    fn text_that_is_not_utf8_is_reported() {
        let message = |bytes: &[u8]| normalise("x", bytes).expect_err("is not UTF-8").message;
        assert_eq!(message(b"ok\nfran\xe7ais"), "byte 0xe7 on line 2 is not UTF-8");
        assert_eq!(message(b"\xff\xfeS\0"), "the file is UTF-16, not UTF-8");
    }
}
