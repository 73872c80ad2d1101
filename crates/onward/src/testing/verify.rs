//! Checks that the scripts make a database, and that the binary embeds the scripts of the folder.

use std::path::Path;

use onward_build::check_folder;
use onward_migrate::{SchemaState, Session, SessionOptions};
use onward_script::{CheckOptions, History, Known, Severity};

use crate::config::settings::project;
use crate::process::exit::{CommandError, Exit};
use crate::scratch::ScratchDatabase;
use crate::scripts::{self, Scripts};
use crate::testing::database::applier;

/// Applies the baseline and every script to a scratch database, then applies them again, which must do nothing, and runs the seeds
/// twice. Also compares the embedded scripts with those in the folder.
///
/// It starts PostgreSQL from the machine's own binaries. For SQL Server, `TEST_SQLSERVER_URL` names a server on which it may
/// create a database. Without this variable it fails, because it cannot verify anything.
///
/// # Panics
///
/// With the reason, if a check fails.
pub fn verify(scripts: &Scripts) {
    let history = scripts.history().unwrap_or_else(|error| panic!("{error}"));
    let root = project();
    let in_folder = embedded_is_in_the_folder(&history, &root);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    if let Err(error) = runtime.block_on(applies_once(&history, &in_folder, &root)) {
        panic!("{error}");
    }
}

/// Cargo compares the times of files; this compares digests.
fn embedded_is_in_the_folder(history: &History, root: &Path) -> History {
    let options = CheckOptions { dialect: history.dialect, release: false, ..CheckOptions::default() };
    let checked = check_folder(root, &history.folder, options, &Known::default());
    let errors: Vec<_> = checked
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| {
            onward_script::render::render(finding, checked.sources.get(&finding.file).map(String::as_str))
        })
        .collect();
    assert!(errors.is_empty(), "the scripts do not pass:\n{}", errors.join("\n"));
    let in_folder = checked.history.unwrap_or_else(|| panic!("{} holds no history", history.folder));
    let seals = |history: &History| -> Vec<_> {
        history.all().map(|script| (script.digest, script.sealed)).collect()
    };
    let seal_differs = || (seals(history) != seals(&in_folder)).then_some("the seal of a script differs");
    let other_seal = || seal_differs().map(|difference| scripts::embeds_others(history, difference));
    if let Some(message) = scripts::stale(history, root).or_else(other_seal) {
        panic!("{message}; {}", scripts::REBUILD);
    }
    in_folder
}

async fn applies_once(history: &History, in_folder: &History, root: &Path) -> Result<(), CommandError> {
    let scratch = ScratchDatabase::create(history.dialect, root, "verify").await?;
    let outcome = apply_twice(&scratch, history, in_folder).await;
    let removed = scratch.remove().await;
    outcome?;
    Ok(removed?)
}

async fn apply_twice(
    scratch: &ScratchDatabase,
    history: &History,
    in_folder: &History,
) -> Result<(), CommandError> {
    let wrong = |message: String| {
        Err(CommandError::new(Exit::Failed, message, "write scripts that leave the session as it was"))
    };
    scratch.apply(history, None, applier()).await?;
    let again = scratch.apply(history, None, applier()).await?;
    if again.scripts != 0 {
        return wrong(format!("{} script(s) ran a second time", again.scripts));
    }
    let mut session = Session::connect(&scratch.url, &SessionOptions::default()).await?;
    match onward_migrate::status(&mut session, history).await?.state {
        SchemaState::Current => {}
        state => return wrong(format!("after all scripts the schema is {state}")),
    }
    for seed in in_folder.seeds.iter().chain(&in_folder.seeds) {
        onward_migrate::seed(&mut session, in_folder, &seed.name, &applier()).await?;
    }
    Ok(())
}
