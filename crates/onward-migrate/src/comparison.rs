use onward_script::{Catalog, History};

use crate::drift::Drift;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};

/// Compares the schema of a database with the one that `schema.lock` describes after script `number`; only reads. Grants are
/// compared if `with_grants` says so: they often belong to an environment rather than to the scripts.
///
/// # Errors
///
/// If the binary does not know the schema after that script, or if the database cannot be queried.
pub async fn drift<E: Engine>(
    engine: &mut E,
    history: &History,
    number: i32,
    with_grants: bool,
) -> Result<Drift, Error> {
    let expected = history.schema_after(number).ok_or_else(|| undescribed(history, number))?;
    let found = engine.catalog(&expected).await?;
    let pick = |catalog: Catalog| if with_grants { catalog } else { catalog.without_grants() };
    let (expected, found) = (pick(expected), pick(found));
    let differences = expected.differences(&found);
    Ok(Drift { number, objects: expected.len(), differences, found })
}

fn undescribed(history: &History, number: i32) -> Error {
    let script = history.get(number);
    let name = script.map_or_else(|| format!("script {number:04}"), |script| script.file_name());
    let is_draft = script.is_some_and(|script| !script.sealed);
    let message = format!("this binary does not know the schema after {name}, so it cannot be compared");
    let help = match is_draft {
        true => "the script is a draft: seal it with `app script seal`".to_owned(),
        false => format!(
            "write {}/schema.lock with `app script seal`, which needs PostgreSQL's programs, and build again",
            history.folder
        ),
    };
    Error::new(ErrorKind::Usage, message, help)
}
