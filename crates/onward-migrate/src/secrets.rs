//! What an error must not show of a script.

const PASSWORD: &str = "password";

/// The text with `***` for each password in it: a literal behind the word, and what stands behind `password=`.
///
/// PostgreSQL's `CREATE ROLE … PASSWORD '…'`, SQL Server's `WITH PASSWORD = N'…'`, the address of a subscription, and each of them
/// within a literal, whose quotes are doubled.
pub(crate) fn masked(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    while let Some(found) = lower[at..].find(PASSWORD) {
        let behind = at + found + PASSWORD.len();
        let value = text[behind..].trim_start_matches([' ', '\t', '\r', '\n', '=']);
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
            (quote.len(), inner.find(closing).unwrap_or(inner.len()))
        }
        None if has_equals => {
            let ends = |c: char| c.is_whitespace() || ['\'', '"', ';', '&', ')'].contains(&c);
            (0, value.find(ends).unwrap_or(value.len()))
        }
        None => (0, 0),
    }
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
            ("CREATE TABLE t (password text NOT NULL)", "CREATE TABLE t (password text NOT NULL)"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
