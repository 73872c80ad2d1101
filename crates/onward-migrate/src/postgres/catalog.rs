//! The description of a schema, read from the server's catalogs.

use onward_script::Catalog;
use tokio_postgres::SimpleQueryRow;

use super::objects::{FIRST_OF_USER, PROVIDERS, PROVIDERS_SCHEMAS, names};
use super::place::Place;
use super::quote::literal;
use super::view::without_needless_table;
use crate::journal::JOURNALS;

/// A query for all objects. Where the place is named, other schemas belong to other apps; then it asks for the schemas that
/// `expected` names only. `version` is the server's, `150004`.
pub(super) fn query(place: &Place, expected: &Catalog, version: u32) -> String {
    let home = literal(&place.schema);
    let scope = if place.is_named {
        let schemas = expected.iter().filter_map(|(object, _)| object.strip_prefix("schema "));
        let schemas: Vec<_> = schemas.map(literal).chain([home.clone()]).collect();
        format!("quote_ident(n.nspname) IN ({})", schemas.join(", "))
    } else {
        "true".to_owned()
    };
    let source = r"replace(p.prosrc, E'\r\n', E'\n')";
    let (body, compression) = match version {
        140_000.. => (
            format!("CASE WHEN p.prosqlbody IS NULL THEN {source} ELSE pg_get_function_sqlbody(p.oid) END"),
            "a.attcompression",
        ),
        _ => (source.to_owned(), "NULL"),
    };
    let inherited = if version >= 130_000 { "t.tgparentid = 0" } else { "true" };
    let values = [
        (":home", home.as_str()),
        (":scope", &scope),
        (":provided", &names(&PROVIDERS_SCHEMAS)),
        (":providers", &names(&PROVIDERS)),
        (":journals", &names(&JOURNALS)),
        (":compression", compression),
        (":inherited", inherited),
        (":body", &body),
        (":is_whole", if place.is_named { "false" } else { "true" }),
        (":first_of_user", &FIRST_OF_USER.to_string()),
    ];
    // The longest first, because one name is the start of another.
    let mut values = values.to_vec();
    values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    values
        .iter()
        .fold(include_str!("catalog.sql").to_owned(), |text, (name, value)| text.replace(name, value))
}

/// The catalog that the answer of a server of this version describes.
pub(super) fn read(rows: &[SimpleQueryRow], version: u32) -> Catalog {
    let mut catalog = Catalog::default();
    for row in rows {
        if let (Some(object), Some(definition)) = (row.get(0), row.get(1)) {
            let is_view = object.starts_with("view ") || object.starts_with("materialized view ");
            if is_view && version < 160_000 {
                catalog.insert(object, without_needless_table(definition));
            } else {
                catalog.insert(object, definition);
            }
        }
    }
    catalog
}
