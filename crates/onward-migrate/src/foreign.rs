use std::collections::{BTreeMap, BTreeSet};

use onward_script::import::{Key, Tool};

use crate::engine::Engine;
use crate::error::Error;
use crate::foreign_journal::ForeignJournal;

/// How a tool keeps its history.
struct Shape {
    tool: Tool,
    /// The table, in lower case.
    table: &'static str,
    /// The columns that are read, in lower case; the last of them may decide about the tool.
    columns: &'static [&'static str],
}

const fn shape(tool: Tool, table: &'static str, columns: &'static [&'static str]) -> Shape {
    Shape { tool, table, columns }
}

/// The shapes of the tables as their tools create them, on PostgreSQL and SQL Server.
const SHAPES: &[Shape] = &[
    // <https://github.com/DbUp/DbUp>, TableJournal
    shape(Tool::DbUp, "schemaversions", &["scriptname", "applied"]),
    // <https://documentation.red-gate.com/flyway/flyway-concepts/migrations/flyway-schema-history-table>
    shape(Tool::Flyway, "flyway_schema_history", &["version", "script", "type", "success", "installed_rank"]),
    shape(Tool::Sqlx, "_sqlx_migrations", &["version", "success"]),
    shape(Tool::Refinery, "refinery_schema_history", &["version", "checksum"]),
    shape(Tool::GolangMigrate, "schema_migrations", &["version", "dirty"]),
    shape(Tool::Dbmate, "schema_migrations", &["version"]),
    shape(Tool::Goose, "goose_db_version", &["version_id", "is_applied", "id"]),
    shape(Tool::Grate, "scriptsrun", &["script_name", "one_time_script"]),
    // <https://docs.liquibase.com/concepts/tracking-tables/databasechangelog-table.html>
    shape(Tool::Liquibase, "databasechangelog", &["id", "author", "filename", "exectype"]),
    // <https://learn.microsoft.com/ef/core/managing-schemas/migrations/history-table>
    shape(Tool::Ef, "__efmigrationshistory", &["migrationid", "productversion"]),
];

/// Rails has the same table as dbmate, and this one beside it.
const RAILS: &str = "ar_internal_metadata";

/// The history tables of other tools that the session can see.
pub(crate) async fn find<E: Engine>(engine: &mut E) -> Result<Vec<ForeignJournal>, Error> {
    let names: Vec<_> = SHAPES.iter().map(|shape| format!("'{}'", shape.table)).collect();
    // This spelling serves a SQL Server with a case-sensitive collation and PostgreSQL.
    let columns = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE LOWER(TABLE_NAME) IN ({}, '{RAILS}')",
        names.join(", ")
    );
    let mut tables: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in engine.texts(&columns).await? {
        if let [Some(schema), Some(table), Some(column)] = &row[..] {
            tables.entry((schema.clone(), table.clone())).or_default().insert(column.clone());
        }
    }
    let has_rails = tables.keys().any(|(_, table)| table == RAILS);
    let mut found = Vec::new();
    for ((schema, table), columns) in &tables {
        let has = |name: &&str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        let is_shape =
            |shape: &&Shape| table.eq_ignore_ascii_case(shape.table) && shape.columns.iter().all(&has);
        let Some(shape) = SHAPES.iter().find(is_shape) else { continue };
        if shape.tool == Tool::Dbmate && has_rails {
            continue;
        }
        let actual = |name: &str| columns.iter().find(|column| column.eq_ignore_ascii_case(name));
        let actual: Vec<_> =
            shape.columns.iter().filter_map(|name| actual(name)).map(|name| quoted(name)).collect();
        let table = format!("{}.{}", quoted(schema), quoted(table));
        found.push(read(engine, shape.tool, &table, &actual).await?);
    }
    Ok(found)
}

/// A name as both databases quote it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn read<E: Engine>(
    engine: &mut E,
    tool: Tool,
    table: &str,
    columns: &[String],
) -> Result<ForeignJournal, Error> {
    let texts: Vec<_> =
        columns.iter().map(|column| format!("CAST({column} AS NATIONAL CHARACTER VARYING(4000))")).collect();
    // A log is read in its order; the others have a column that says it, or none.
    let order = match tool {
        Tool::Flyway | Tool::Goose | Tool::DbUp | Tool::Grate => columns.last(),
        Tool::Liquibase => None,
        _ => columns.first(),
    };
    let order = order.map_or_else(String::new, |column| format!(" ORDER BY {column}"));
    let rows = engine.texts(&format!("SELECT {} FROM {table}{order}", texts.join(", "))).await?;
    let mut journal = ForeignJournal {
        tool,
        table: table.replace('"', ""),
        applied: Vec::new(),
        through: None,
        unfinished: Vec::new(),
    };
    for row in rows {
        let column = |index: usize| row.get(index).and_then(Option::as_deref).unwrap_or_default();
        let is_set = |index: usize| ["true", "t", "1"].contains(&column(index).to_ascii_lowercase().as_str());
        let key = tool.recorded(column(0));
        match tool {
            Tool::Flyway => flyway_row(&mut journal, key, column(1), column(2), is_set(3)),
            Tool::Sqlx if !is_set(1) => journal.unfinished.push(column(0).to_owned()),
            Tool::GolangMigrate if is_set(1) => journal.unfinished.push(column(0).to_owned()),
            Tool::GolangMigrate => journal.through = key,
            Tool::Goose => {
                journal.applied.retain(|applied| Some(applied) != key.as_ref());
                // The first row is the tool's own.
                let is_own = key == Some(Key::Version(vec![0]));
                journal.applied.extend(key.filter(|_| is_set(1) && !is_own));
            }
            Tool::Grate if !is_set(1) => {}
            Tool::Liquibase => {
                let key = format!("{}::{}::{}", column(2), column(0), column(1));
                if column(3).eq_ignore_ascii_case("FAILED") {
                    journal.unfinished.push(key);
                } else {
                    journal.applied.push(Key::Name(key));
                }
            }
            _ => journal.applied.extend(key),
        }
    }
    Ok(journal)
}

/// A repeatable script has no version. What is at or below a baseline was never run by Flyway, and is there.
fn flyway_row(journal: &mut ForeignJournal, key: Option<Key>, script: &str, kind: &str, success: bool) {
    match kind.to_ascii_uppercase().as_str() {
        _ if !success => journal.unfinished.push(script.to_owned()),
        "BASELINE" | "SQL_BASELINE" => journal.through = key,
        "DELETE" | "UNDO_SQL" | "UNDO_JDBC" | "UNDO_SCRIPT" => {
            journal.applied.retain(|applied| Some(applied) != key.as_ref());
        }
        "SCHEMA" => {}
        _ => journal.applied.extend(key),
    }
}
