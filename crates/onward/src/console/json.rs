/// A JSON text with a line for each value. Nothing of it changes but the white space between its tokens: a number keeps its digits, and
/// a key that is there twice stays twice.
pub(super) fn indented(json: &str) -> String {
    let (mut text, mut depth, mut is_in_string, mut is_escaped) =
        (String::with_capacity(json.len() * 2), 0, false, false);
    let mut tokens = json.chars().peekable();
    while let Some(c) = tokens.next() {
        if is_in_string {
            text.push(c);
            is_in_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            continue;
        }
        match c {
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                text.push(c);
                while tokens.next_if(char::is_ascii_whitespace).is_some() {}
                if tokens.peek().is_some_and(|next| ['}', ']'].contains(next)) {
                    text.extend(tokens.next());
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c => {
                is_in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

/// The deepest that a line is moved to the right.
const DEEPEST: usize = 40;

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_white_space_between_tokens_changes() {
        let json = r#"{"n":12345678901234567890123,"a":1, "a":[ ],"s":"x\\\" {, }","o":{"z":1.10}}"#;
        let expected = "{\n  \"n\": 12345678901234567890123,\n  \"a\": 1,\n  \"a\": [],\n  \"s\": \"x\\\\\\\" {, }\",\n  \"o\": {\n    \"z\": 1.10\n  }\n}";
        assert_eq!(indented(json), expected);
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(
            indented(&deep).len() < 100_000 * 2 * (2 + 2 * DEEPEST),
            "a hostile body does not grow without bound"
        );
    }
}
