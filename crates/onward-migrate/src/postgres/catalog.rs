//! The description of a schema, read from the server's catalogs.

use onward_script::Catalog;
use tokio_postgres::SimpleQueryRow;

use super::objects::{FIRST_OF_USER, PROVIDERS, PROVIDERS_SCHEMAS, names};
use super::place::Place;
use super::quote::literal;
use super::view::without_needless_table;
use super::wording::canonical;
use crate::journal::JOURNALS;

/// The settings that the server's texts depend on.
pub(super) const SETTINGS: &str = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres'; \
     SET LOCAL bytea_output = 'hex'; SET LOCAL quote_all_identifiers = off; SET LOCAL standard_conforming_strings = on; ";

/// What a publication publishes: its tables with their columns and filters, and its schemas.
const PUBLISHED: &str = "(SELECT 'tables ' || string_agg(published, '; ' ORDER BY published COLLATE \"C\") FROM (SELECT concat_ws(' ', \
     r.prrelid::regclass::text, (SELECT '(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE \"C\") || ')' FROM \
     pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])), 'where ' || pg_get_expr(r.prqual, \
     r.prrelid, true)) FROM pg_publication_rel r WHERE r.prpubid = p.oid) q(published)), (SELECT 'schemas ' || \
     string_agg(pnnspid::regnamespace::text, ', ' ORDER BY pnnspid::regnamespace::text COLLATE \"C\") FROM \
     pg_publication_namespace WHERE pnpubid = p.oid)";

const PUBLISHED_BEFORE_15: &str = "(SELECT 'tables ' || string_agg(r.prrelid::regclass::text, '; ' ORDER BY \
     r.prrelid::regclass::text COLLATE \"C\") FROM pg_publication_rel r WHERE r.prpubid = p.oid)";

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
    let source = r"left(encode(sha256(convert_to(replace(p.prosrc, E'\r\n', E'\n'), 'UTF8')), 'hex'), 16)";
    let (body, compression) = match version {
        140_000.. => (
            format!("CASE WHEN p.prosqlbody IS NULL THEN {source} ELSE pg_get_function_sqlbody(p.oid) END"),
            "a.attcompression",
        ),
        _ => (source.to_owned(), "NULL"),
    };
    // The trigger of a partition is its parent's, unless it is enabled otherwise.
    let own_trigger = match version {
        130_000.. => {
            "(t.tgparentid = 0 OR t.tgenabled <> (SELECT p.tgenabled FROM pg_trigger p WHERE p.oid = t.tgparentid))"
        }
        _ => "true",
    };
    let published = if version >= 150_000 { PUBLISHED } else { PUBLISHED_BEFORE_15 };
    let values = [
        (":home", home.as_str()),
        (":scope", &scope),
        (":provided", &names(&PROVIDERS_SCHEMAS)),
        (":providers", &names(&PROVIDERS)),
        (":journals", &names(&JOURNALS)),
        (":compression", compression),
        (":own_trigger", own_trigger),
        (":published", published),
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
        let Some(object) = row.get(0) else { continue };
        let definition = row.get(1).unwrap_or_default();
        let is_view = object.starts_with("view ") || object.starts_with("materialized view ");
        // A comment is a text of its own, and not the server's.
        catalog.insert(
            object,
            match definition {
                comment if object.starts_with("comment ") => comment.to_owned(),
                view if is_view && version < 160_000 => without_needless_table(&canonical(view)),
                other => canonical(other),
            },
        );
    }
    catalog
}
