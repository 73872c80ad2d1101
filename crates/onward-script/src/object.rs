use crate::dialect::Dialect;
use crate::lexer::{Token, TokenKind};

/// The name of an object in the database, as the server reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName {
    schema: Option<String>,
    name: String,
}

impl ObjectName {
    /// Reads a name at the front of some tokens, comments left out, and returns it with the tokens behind it.
    ///
    /// PostgreSQL folds what is not quoted to lower case. SQL Server compares by the database's collation, which by default does
    /// not tell cases apart. Of a name with more than two parts the last two count.
    /// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
    /// <https://learn.microsoft.com/sql/relational-databases/databases/database-identifiers>
    pub(crate) fn parse<'a>(
        source: &str,
        tokens: &'a [Token],
        dialect: Dialect,
    ) -> Option<(Self, &'a [Token])> {
        let mut parts = Vec::new();
        let mut rest = tokens;
        loop {
            match rest.first() {
                Some(token) if matches!(token.kind, TokenKind::Word | TokenKind::QuotedName) => {
                    parts.push(part(token.text(source), dialect));
                    rest = &rest[1..];
                }
                // `master..t` leaves the schema out.
                Some(token) if token.kind == TokenKind::Symbol('.') && !parts.is_empty() => {
                    parts.push(String::new());
                }
                _ => break,
            }
            match rest.first() {
                Some(token) if token.kind == TokenKind::Symbol('.') => rest = &rest[1..],
                _ => break,
            }
        }
        let name = parts.pop().filter(|name| !name.is_empty())?;
        Some((Self { schema: parts.pop().filter(|schema| !schema.is_empty()), name }, rest))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether only the session that makes it sees it.
    pub(crate) fn is_temporary(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Postgres => self.schema.as_deref() == Some("pg_temp"),
            Dialect::SqlServer => self.name.starts_with('#'),
        }
    }

    /// Whether both name the same object, where a name without a schema means the default one.
    pub(crate) fn is_same(&self, other: &Self, dialect: Dialect) -> bool {
        let default = match dialect {
            Dialect::Postgres => "public",
            Dialect::SqlServer => "dbo",
        };
        let schema = |it: &Self| it.schema.as_deref().unwrap_or(default).to_owned();
        self.name == other.name && schema(self) == schema(other)
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A part of a name without its quotes.
fn part(text: &str, dialect: Dialect) -> String {
    let quoted = |open: char, close: char| {
        let inner = text.strip_prefix(open)?.strip_suffix(close)?;
        Some(inner.replace(&format!("{close}{close}"), &close.to_string()))
    };
    match dialect {
        Dialect::Postgres => quoted('"', '"').unwrap_or_else(|| text.to_lowercase()),
        Dialect::SqlServer => {
            let name = quoted('[', ']').or_else(|| quoted('"', '"')).unwrap_or_else(|| text.to_owned());
            name.to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn name(text: &str, dialect: Dialect) -> ObjectName {
        let tokens = lex(text, dialect);
        let (name, rest) = ObjectName::parse(text, &tokens, dialect).expect("is a name");
        assert!(rest.is_empty(), "{text}: {rest:?}");
        name
    }

    #[test]
    fn names_are_compared_as_the_server_does() {
        for (dialect, one, other, expected) in [
            (Dialect::Postgres, "Orders", "orders", true),
            (Dialect::Postgres, "\"Orders\"", "orders", false),
            (Dialect::Postgres, "\"orders\"", "ORDERS", true),
            (Dialect::Postgres, "public.orders", "orders", true),
            (Dialect::Postgres, "shop.orders", "orders", false),
            (Dialect::Postgres, "orders", "orders_archive", false),
            (Dialect::Postgres, "\"a\"\"b\"", "\"a\"\"b\"", true),
            (Dialect::SqlServer, "dbo.P", "[p]", true),
            (Dialect::SqlServer, "[dbo].[P]", "\"p\"", true),
            (Dialect::SqlServer, "app.dbo.P", "p", true),
            (Dialect::SqlServer, "app..P", "p", true),
            (Dialect::SqlServer, "sales.P", "dbo.P", false),
            (Dialect::SqlServer, "[a]]b]", "\"A]b\"", true),
        ] {
            let is_same = name(one, dialect).is_same(&name(other, dialect), dialect);
            assert_eq!(is_same, expected, "{one} and {other}");
        }
    }
}
