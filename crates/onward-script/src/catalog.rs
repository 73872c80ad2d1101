use std::collections::BTreeMap;
use std::fmt;

use crate::text::on_one_line;

/// The schema of a database, described in lines: each object with its definition.
///
/// Two databases with the same objects have equal catalogs, whatever the order in which they were made. Owners, the order of
/// columns and the place of files are left out.
///
/// ```
/// use onward_script::Catalog;
///
/// let mut expected = Catalog::default();
/// expected.insert("table orders", "");
/// expected.insert("column orders.id", "bigint, not null");
/// let mut found = expected.clone();
/// found.insert("column orders.id", "integer, not null");
/// let differences = expected.differences(&found);
/// assert_eq!(differences[0].to_string(), "column orders.id is `integer, not null`, expected `bigint, not null`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    objects: BTreeMap<String, String>,
}

/// What grants are called. They differ between environments, so they are compared only if that is asked for.
const GRANTS: &str = "grants on ";

/// Operators and providers install extensions that no script asks for.
const EXTENSION: &str = "extension ";

impl Catalog {
    /// Adds an object, or gives it another definition.
    pub fn insert(&mut self, object: impl Into<String>, definition: impl Into<String>) {
        self.objects.insert(object.into(), definition.into());
    }

    /// Takes an object out.
    pub fn remove(&mut self, object: &str) -> Option<String> {
        self.objects.remove(object)
    }

    /// The definition of an object.
    #[must_use]
    pub fn get(&self, object: &str) -> Option<&str> {
        self.objects.get(object).map(String::as_str)
    }

    /// The objects with their definitions, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.objects.iter().map(|(object, definition)| (object.as_str(), definition.as_str()))
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The same schema without its grants.
    #[must_use]
    pub fn without_grants(mut self) -> Self {
        self.objects.retain(|object, _| !object.starts_with(GRANTS));
        self
    }

    /// What another database has differently, by object. An additional extension is no difference.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (object, expected) in &self.objects {
            match found.objects.get(object) {
                None => differences.push(Difference {
                    object: object.clone(),
                    expected: Some(expected.clone()),
                    found: None,
                }),
                Some(other) if other != expected => differences.push(Difference {
                    object: object.clone(),
                    expected: Some(expected.clone()),
                    found: Some(other.clone()),
                }),
                Some(_) => {}
            }
        }
        for (object, other) in &found.objects {
            if !self.objects.contains_key(object) && !object.starts_with(EXTENSION) {
                let found = Some(other.clone());
                differences.push(Difference { object: object.clone(), expected: None, found });
            }
        }
        differences.sort_by(|one, other| one.object.cmp(&other.object));
        differences
    }
}

/// One object that a database has differently than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// What it is, with its name: `column orders.id`.
    pub object: String,
    /// Its expected definition; `None` if it should not exist.
    pub expected: Option<String>,
    /// Its definition; `None` if it does not exist.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, expected, found } = self;
        match (expected, found) {
            (Some(expected), Some(found)) if found.is_empty() => {
                write!(f, "{object} is not `{}`", short(expected))
            }
            (Some(expected), Some(found)) if expected.is_empty() => {
                write!(f, "{object} is `{}`, and the scripts make it without that", short(found))
            }
            (Some(expected), Some(found)) => {
                write!(f, "{object} is `{}`, expected `{}`", short(found), short(expected))
            }
            (Some(_), None) => write!(f, "{object} is missing"),
            (None, _) => write!(f, "{object} is not made by any script"),
        }
    }
}

/// The longest definition that a message shows.
const LONGEST: usize = 300;

/// On one line, in which two definitions that differ by the end of a line do not look the same.
fn short(definition: &str) -> String {
    match definition.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", on_one_line(&definition[..end])),
        None => on_one_line(definition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(objects: &[(&str, &str)]) -> Catalog {
        let mut catalog = Catalog::default();
        for (object, definition) in objects {
            catalog.insert(*object, *definition);
        }
        catalog
    }

    #[test]
    fn differences_are_named_by_object() {
        let expected = catalog(&[("column t.a", "text"), ("column t.b", "text"), ("table t", "")]);
        let found = catalog(&[
            ("column t.a", "integer"),
            ("extension pg_stat_statements", ""),
            ("index i", "…"),
            ("table t", ""),
        ]);
        let differences: Vec<_> = expected.differences(&found).iter().map(ToString::to_string).collect();
        assert_eq!(
            differences,
            [
                "column t.a is `integer`, expected `text`",
                "column t.b is missing",
                "index i is not made by any script"
            ]
        );
    }

    #[test]
    fn grants_can_be_left_out() {
        let with = catalog(&[("grants on table t", "SELECT to reader"), ("table t", "")]);
        assert_eq!(with.without_grants(), catalog(&[("table t", "")]));
    }
}
