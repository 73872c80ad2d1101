use onward_script::{Catalog, History};

use crate::drift::Drift;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::observation::observe;
use crate::state::Status;

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
    let mut expected = history.schema_after(number).ok_or_else(|| undescribed(history, number))?;
    let mut found = engine.catalog(&expected).await?;
    if !history.always.is_empty() {
        let lock = history.schema_lock().filter(|lock| lock.always_digest().is_some());
        let lock = lock.ok_or_else(|| unknown(history, "after the scripts in `always/`"))?;
        let status = Status::assess(history, &observe(engine, history).await?);
        let have_run = number == history.latest() && status.applied.is_some() && status.always.is_empty();
        if have_run {
            lock.apply_always(&mut expected);
        } else {
            // Whether they are there already, nobody has recorded.
            let extra: Vec<_> =
                lock.always_objects().filter(|object| expected.get(object).is_none()).collect();
            extra.into_iter().for_each(|object| drop(found.remove(object)));
        }
    }
    let pick = |catalog: Catalog| if with_grants { catalog } else { catalog.without_grants() };
    let (expected, found) = (pick(expected), pick(found));
    let differences = expected.differences(&found);
    Ok(Drift { number, objects: expected.len(), differences, found })
}

fn undescribed(history: &History, number: i32) -> Error {
    let script = history.get(number);
    let name = script.map_or_else(|| format!("script {number:04}"), |script| script.file_name());
    let is_draft = script.is_some_and(|script| !script.sealed);
    match is_draft {
        true => {
            let message = format!("this binary does not know the schema after the draft {name}");
            Error::new(ErrorKind::Usage, message, "seal it with `app script seal`")
        }
        false => unknown(history, &format!("after {name}")),
    }
}

fn unknown(history: &History, when: &str) -> Error {
    let message = format!("this binary does not know the schema {when}, so it cannot be compared");
    let help = format!(
        "write {}/schema.lock with `app script seal`, which needs PostgreSQL's programs, and build again",
        history.folder
    );
    Error::new(ErrorKind::Usage, message, help)
}
