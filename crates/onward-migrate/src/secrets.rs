//! What an error must not show of a script.

const PASSWORD: &str = "password";

/// The text with `***` for each password in it: a literal behind the word, what stands behind `password=`, and the password of a URL.
///
/// PostgreSQL's `CREATE ROLE … PASSWORD '…'`, SQL Server's `WITH PASSWORD = N'…'`, the option of a user mapping, the address of a
/// subscription, and each of them within a literal, whose quotes are doubled.
pub(crate) fn masked(text: &str) -> String {
    without_literals(&without_userinfo(text))
}

/// `scheme://user:***@host`
fn without_userinfo(text: &str) -> String {
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(found) = text[at..].find("://") {
        let begins = at + found + 3;
        // libpq takes any other character into a password as it is.
        let ends = |c: char| c.is_whitespace() || ['/', '\''].contains(&c);
        let authority = &text[begins..];
        let authority = &authority[..authority.find(ends).unwrap_or(authority.len())];
        let user = authority.rfind('@').map_or("", |end| &authority[..end]);
        let colon = user.find(':');
        let secret = colon.map_or(begins, |colon| begins + colon + 1);
        shown.push_str(&text[at..secret]);
        at = secret;
        if colon.is_some() {
            shown.push_str("***");
            at = begins + user.len();
        }
    }
    shown.push_str(&text[at..]);
    shown
}

fn without_literals(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(found) = lower[at..].find(PASSWORD) {
        let behind = at + found + PASSWORD.len();
        // The name of an option may be quoted.
        let named = text[behind..].strip_prefix('"').unwrap_or(&text[behind..]);
        let value = named.trim_start_matches([' ', '\t', '\r', '\n', '=']);
        let begins = text.len() - value.len();
        let (open, length) = secret(value, text[behind..begins].contains('='));
        shown.push_str(&text[at..begins + open]);
        if length > 0 {
            shown.push_str("***");
        }
        at = begins + open + length;
    }
    shown.push_str(&text[at..]);
    shown
}

/// How long the opening quote is and what it encloses. Without a quote it is a secret only behind an equals sign.
fn secret(value: &str, has_equals: bool) -> (usize, usize) {
    let quotes = ["''", "$$", "E'", "e'", "N'", "n'", "'"];
    match quotes.iter().find(|quote| value.starts_with(**quote)) {
        Some(quote) => {
            let closing = quote.trim_start_matches(['E', 'e', 'N', 'n']);
            let inner = &value[quote.len()..];
            let length = match closing {
                "'" => end_of_literal(inner, quote.starts_with(['E', 'e'])),
                _ => inner.find(closing).unwrap_or(inner.len()),
            };
            (quote.len(), length)
        }
        None if has_equals => {
            let ends = |c: char| c.is_whitespace() || ['\'', '"', ';', '&', ')'].contains(&c);
            (0, value.find(ends).unwrap_or(value.len()))
        }
        None => (0, 0),
    }
}

/// Where a literal ends, in which a quote is written twice or, with `escapes`, behind a backslash.
fn end_of_literal(inner: &str, escapes: bool) -> usize {
    let mut rest = inner.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' if escapes => drop(rest.next()),
            '\'' => match rest.next_if(|(_, next)| *next == '\'') {
                Some(_) => {}
                None => return at,
            },
            _ => {}
        }
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_and_nothing_else() {
        for (text, expected) in [
            (
                "CREATE ROLE weak LOGIN PASSWORD 'top secret' CREATEDB",
                "CREATE ROLE weak LOGIN PASSWORD '***' CREATEDB",
            ),
            (
                "alter role a password E'x\\n'; SELECT 'password'",
                "alter role a password E'***'; SELECT 'password'",
            ),
            ("CREATE LOGIN a WITH PASSWORD = N'geheim'", "CREATE LOGIN a WITH PASSWORD = N'***'"),
            ("CONNECTION 'host=h password=secret dbname=d'", "CONNECTION 'host=h password=*** dbname=d'"),
            (
                "EXECUTE 'CREATE ROLE a PASSWORD ''x'' LOGIN'",
                "EXECUTE 'CREATE ROLE a PASSWORD ''***'' LOGIN'",
            ),
            ("PASSWORD $$ü$$, PASSWORD NULL", "PASSWORD $$***$$, PASSWORD NULL"),
            ("PASSWORD 'not closed", "PASSWORD '***"),
            ("PASSWORD E'top''secret\\'too' VALID", "PASSWORD E'***' VALID"),
            ("CONNECTION 'postgresql://u:to?p;s)e\"c@h/d'", "CONNECTION 'postgresql://u:***@h/d'"),
            ("OPTIONS (user 'u', \"password\" 'x')", "OPTIONS (user 'u', \"password\" '***')"),
            (
                "CONNECTION 'postgresql://u:top:se@cret@h:1/x?a=b'",
                "CONNECTION 'postgresql://u:***@h:1/x?a=b'",
            ),
            (
                "SELECT 'https://example.org/a:b@c', 'http://u@h/'",
                "SELECT 'https://example.org/a:b@c', 'http://u@h/'",
            ),
            ("CREATE TABLE t (password text NOT NULL)", "CREATE TABLE t (password text NOT NULL)"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
