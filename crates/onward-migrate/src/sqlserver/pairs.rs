//! The grammar of a connection string: `key=value;key='a; b'`.

/// A key with its value. The place, counted from 1, names it in a message where the key may be a piece of a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// In lower case and without spaces and underscores: `User ID` is `userid`.
    pub key: String,
    pub value: String,
    pub place: usize,
}

pub(super) fn normalised(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, ' ' | '_')).flat_map(char::to_lowercase).collect()
}

/// Splits the text at its semicolons. A value may stand in single or double quotes, as in ADO.NET, or in braces, as in ODBC and
/// JDBC; inside them the closing character is doubled.
/// <https://learn.microsoft.com/dotnet/api/system.data.sqlclient.sqlconnection.connectionstring>
pub(super) fn parse(text: &str) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    let (mut rest, mut place) = (text, 0);
    loop {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            return Ok(pairs);
        }
        place += 1;
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let Some(behind) = behind.strip_prefix('=') else {
            return Err(format!("part {place} is not KEY=VALUE"));
        };
        let (value, behind) = value(behind.trim_start(), place)?;
        pairs.push(Pair { key: normalised(key), value, place });
        rest = behind;
    }
}

/// The value at the front, and the rest from the semicolon on.
fn value(text: &str, place: usize) -> Result<(String, &str), String> {
    let close = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => quote,
        Some('{') => '}',
        _ => {
            let end = text.find(';').unwrap_or(text.len());
            return Ok((text[..end].trim_end().to_owned(), &text[end..]));
        }
    };
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == close) {
            chars.next();
            value.push(c);
        } else {
            let behind = text[at + 1..].trim_start();
            if behind.is_empty() || behind.starts_with(';') {
                return Ok((value, behind));
            }
            return Err(format!("part {place} goes on behind its closing {close}"));
        }
    }
    Err(format!("part {place} has no closing {close}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        Ok(parse(text)?.into_iter().map(|pair| (pair.key, pair.value)).collect())
    }

    #[test]
    fn a_value_is_what_was_written() {
        for (text, key, value) in [
            ("User ID = app ;", "userid", "app"),
            ("Password=Two Words=x", "password", "Two Words=x"),
            ("password='a;b''c'", "password", "a;b'c"),
            ("password=\" a \" ; ", "password", " a "),
            ("pwd={a}}b;c}", "pwd", "a}b;c"),
            ("initial_catalog=", "initialcatalog", ""),
        ] {
            assert_eq!(read(text), Ok(vec![(key.to_owned(), value.to_owned())]), "{text}");
        }
        assert_eq!(read("a=1;;b=2;").map(|pairs| pairs.len()), Ok(2));
    }

    #[test]
    fn what_is_no_pair_is_named_by_its_place() {
        for (text, reason) in [
            ("a=1;hush", "part 2 is not KEY=VALUE"),
            ("a='hush", "part 1 has no closing '"),
            ("a={hush}hush", "part 1 goes on behind its closing }"),
        ] {
            assert_eq!(read(text), Err(reason.to_owned()), "{text}");
        }
    }
}
