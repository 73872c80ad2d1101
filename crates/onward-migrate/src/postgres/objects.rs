//! What a user made in a database: anything that a baseline could meet.

use super::place::Place;
use super::quote::literal;
use crate::journal::JOURNAL;

/// The roles of hosted PostgreSQL, which own what the provider made: Amazon RDS, Google Cloud SQL and AlloyDB, Azure, Supabase,
/// Neon.
pub(super) const PROVIDERS: [&str; 19] = [
    "alloydbadmin",
    "azure_pg_admin",
    "azure_superuser",
    "azuresu",
    "cloud_admin",
    "cloudsqladmin",
    "cloudsqlimportexport",
    "pgbouncer",
    "rds_superuser",
    "rdsadmin",
    "rdsrepladmin",
    "supabase_admin",
    "supabase_auth_admin",
    "supabase_etl_admin",
    "supabase_functions_admin",
    "supabase_read_only_user",
    "supabase_realtime_admin",
    "supabase_replication_admin",
    "supabase_storage_admin",
];

/// Schemas that a provider makes for extensions, some in the name of the user's own role.
pub(super) const PROVIDERS_SCHEMAS: [&str; 4] = ["extensions", "heroku_ext", "_heroku", "google_vacuum_mgmt"];

/// The first object id that `initdb` does not use.
/// <https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT>
pub(super) const FIRST_OF_USER: u32 = 16_384;

/// A query for the kind and the name of one object that a user made, if there is one. A named place concerns its schema only,
/// because the others may belong to other apps.
pub(super) fn one_of_user(place: &Place) -> String {
    let mut kinds = vec![
        kind(
            "relation",
            "pg_class",
            "relname",
            "relnamespace",
            "relowner",
            "relkind IN ('r', 'p', 'v', 'm', 'f', 'S')",
        ),
        // A table has a type of its own, and each type an array; both go with it.
        kind(
            "type",
            "pg_type",
            "typname",
            "typnamespace",
            "typowner",
            "typelem = 0 AND (typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND c.relkind = 'c'))",
        ),
        kind("function", "pg_proc", "proname", "pronamespace", "proowner", "true"),
    ];
    let schema = literal(&place.schema);
    let scope = if place.is_named {
        format!("quote_ident(n.nspname) = {schema}")
    } else {
        kinds.extend([
            kind("schema", "pg_namespace", "nspname", "oid", "nspowner", "nspname <> 'public'"),
            kind("operator", "pg_operator", "oprname", "oprnamespace", "oprowner", "true"),
            kind("collation", "pg_collation", "collname", "collnamespace", "collowner", "true"),
            kind("text search configuration", "pg_ts_config", "cfgname", "cfgnamespace", "cfgowner", "true"),
            kind("foreign server", "pg_foreign_server", "srvname", "0::oid", "srvowner", "true"),
            kind("publication", "pg_publication", "pubname", "0::oid", "pubowner", "true"),
            kind("event trigger", "pg_event_trigger", "evtname", "0::oid", "evtowner", "true"),
        ]);
        "true".to_owned()
    };
    format!(
        "SELECT o.kind, CASE WHEN n.nspname IS NULL OR o.kind = 'schema' THEN quote_ident(o.name) \
         ELSE format('%I.%I', n.nspname, o.name) END \
         FROM ({}) o LEFT JOIN pg_namespace n ON n.oid = o.schema \
         WHERE o.id >= {FIRST_OF_USER} AND {scope} \
         AND (n.nspname IS NULL OR n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema') \
         AND coalesce(n.nspname NOT IN ({}), true) \
         AND pg_get_userbyid(o.owner) NOT IN ({providers}) \
         AND coalesce(pg_get_userbyid(n.nspowner) NOT IN ({providers}) OR n.nspname = 'public', true) \
         AND NOT (o.name = {} AND coalesce(quote_ident(n.nspname), '') = {schema}) \
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' \
         AND (d.classid = o.catalog AND d.objid = o.id OR d.classid = 'pg_namespace'::regclass AND d.objid = n.oid)) \
         LIMIT 1",
        kinds.join(" UNION ALL "),
        names(&PROVIDERS_SCHEMAS),
        literal(JOURNAL),
        providers = names(&PROVIDERS),
    )
}

/// Names as a list of literals.
pub(super) fn names(names: &[&str]) -> String {
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

fn kind(kind: &str, catalog: &str, name: &str, schema: &str, owner: &str, condition: &str) -> String {
    format!(
        "SELECT {} AS kind, '{catalog}'::regclass::oid AS catalog, oid AS id, {name}::text AS name, {schema} AS schema, \
         {owner} AS owner FROM {catalog} WHERE {condition}",
        literal(kind)
    )
}
