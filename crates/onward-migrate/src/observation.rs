use onward_script::History;

use crate::engine::Engine;
use crate::error::Error;
use crate::foreign;
use crate::journal::Observed;

/// What the database contains: its journal, or else what another tool has recorded; only reads.
///
/// # Errors
///
/// If the database cannot be queried.
pub async fn observe<E: Engine>(engine: &mut E, history: &History) -> Result<Observed, Error> {
    let mut observed = engine.observe().await?;
    if observed.has_tables && observed.journal.as_ref().is_none_or(Vec::is_empty) {
        observed.foreign = foreign::find(engine).await?;
    }
    if !history.always.is_empty() && observed.journal.is_some() {
        observed.always = engine.always_rows().await?;
    }
    Ok(observed)
}
