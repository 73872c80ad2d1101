//! Values on their way into a batch and out of its rows.

use tiberius::Row;

pub(super) fn text(row: &Row, index: usize) -> Option<&str> {
    row.try_get::<&str, _>(index).ok().flatten()
}

/// The single number that a batch returns.
pub(super) fn number(rows: &[Row]) -> Option<i32> {
    rows.first().and_then(|row| row.try_get::<i32, _>(0).ok().flatten())
}

pub(super) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}
