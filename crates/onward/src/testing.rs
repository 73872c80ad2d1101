//! For an app's own tests: whether its scripts make a database, and whether they are the ones in its folder.
//!
//! ```ignore
//! #[test]
//! fn the_scripts_are_sound() {
//!     onward::testing::verify(&onward::scripts!());
//! }
//! ```

use std::path::PathBuf;

use onward_build::check_folder;
use onward_local::PrivatePostgres;
use onward_migrate::{DatabaseUrl, Identity, MigrateOptions, SchemaState, Session, SessionOptions};
use onward_script::{Dialect, History, Known, Options, Severity};
use tokio_util::sync::CancellationToken;

use crate::command::migrate::defaults;
use crate::scripts::Scripts;

/// Applies the baseline and every script to a scratch database, applies them again, which must do nothing, and
/// compares what the build embedded with what is in the folder.
///
/// PostgreSQL is started from the machine's own binaries. On SQL Server `TEST_SQLSERVER_URL` names a server on which a
/// database may be created; without it this fails, because nothing was verified.
///
/// # Panics
///
/// With the reason, if any of it does not hold.
pub fn verify(scripts: &Scripts) {
    let history = scripts.history().unwrap_or_else(|error| panic!("{error}"));
    embedded_is_in_the_folder(&history);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    if let Err(reason) = runtime.block_on(applies_once(&history)) {
        panic!("{reason}");
    }
}

/// Cargo trusts the times of files; an embedded digest does not.
fn embedded_is_in_the_folder(history: &History) {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let options = Options { dialect: history.dialect, release: false };
    let checked = check_folder(&root, &history.folder, options, &Known::default());
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
    let digests = |history: &History| -> Vec<_> {
        history.all().map(|script| (script.file_name(), script.digest, script.sealed)).collect()
    };
    assert_eq!(
        digests(history),
        digests(&in_folder),
        "the binary embeds other scripts than {} holds: build it again, with `cargo clean -p` if need be",
        history.folder
    );
}

async fn applies_once(history: &History) -> Result<(), String> {
    let scratch = Scratch::create(history.dialect).await?;
    let outcome = scratch.apply_twice(history).await;
    let removed = onward_migrate::remove(&scratch.url, &scratch.named).await;
    outcome?;
    removed.map_err(|error| error.to_string())
}

struct Scratch {
    url: DatabaseUrl,
    named: onward_migrate::Doomed,
    _server: Option<PrivatePostgres>,
}

impl Scratch {
    async fn create(dialect: Dialect) -> Result<Self, String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("verify_{}_{}", std::process::id(), now.as_nanos());
        let (address, server) = match dialect {
            Dialect::Postgres => {
                let root =
                    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
                let home = root.join(".onward").join("postgres");
                let start = move || PrivatePostgres::start(&home);
                let server = tokio::task::spawn_blocking(start).await.map_err(|error| error.to_string())?;
                let server = server.map_err(|error| error.to_string())?;
                (server.url(&name), Some(server))
            }
            Dialect::SqlServer => {
                let url = std::env::var("TEST_SQLSERVER_URL").map_err(|_| {
                    "TEST_SQLSERVER_URL is not set, and there is no SQL Server to start: name one".to_owned()
                })?;
                (url, None)
            }
        };
        let url: DatabaseUrl = address.parse().map_err(|error: onward_migrate::Error| error.to_string())?;
        let url = url.with_database(&name);
        let named = onward_migrate::Doomed { name, is_marked: true };
        onward_migrate::create(&url, &named).await.map_err(|error| error.to_string())?;
        Ok(Self { url, named, _server: server })
    }

    async fn apply_twice(&self, history: &History) -> Result<(), String> {
        let options = MigrateOptions {
            to: None,
            wait: defaults().wait,
            single_transaction: false,
            identity: Identity { host: "cargo test".to_owned(), app_version: String::new() },
            stop: CancellationToken::new(),
        };
        let failed = |error: onward_migrate::Error| error.to_string();
        let mut session = Session::connect(&self.url, &SessionOptions::default()).await.map_err(failed)?;
        onward_migrate::migrate(&mut session, history, &options, &mut |_| {}).await.map_err(failed)?;
        let again =
            onward_migrate::migrate(&mut session, history, &options, &mut |_| {}).await.map_err(failed)?;
        if again.scripts != 0 {
            return Err(format!("{} script(s) were to run a second time", again.scripts));
        }
        match onward_migrate::status(&mut session, history).await.map_err(failed)?.state {
            SchemaState::Current => Ok(()),
            state => Err(format!("after all scripts the schema is {state}")),
        }
    }
}
