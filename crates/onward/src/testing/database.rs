use std::fmt;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use onward_local::PrivatePostgres;
use onward_migrate::{Applier, DatabaseUrl, DropTarget, names, remove};
use onward_script::{Dialect, History};

use crate::config::settings::project;
use crate::database::{Database, PgPool};
use crate::options::AppOptions;
use crate::process::exit::{CommandError, Exit};
use crate::scratch::ScratchDatabase;
use crate::scripts::Scripts;

/// How many connections a test's own pool opens at the most.
const CONNECTIONS: usize = 4;

/// The names of the databases that tests are copied from, and of the tests' own.
const TEMPLATE: &str = "onward_template_";
const TEST: &str = "onward_test_";

/// A database of a test's own, with the baseline and every script applied.
///
/// On PostgreSQL the scripts run once for each state of them; each test gets a copy of the result. The server is the private one of
/// the project, which stops when its last user ends. On SQL Server, which has no such copy, the scripts run for each test.
#[derive(Clone)]
pub struct TestDb(Arc<Inner>);

struct Inner {
    address: String,
    url: DatabaseUrl,
    database: Database,
    kind: Kind,
}

enum Kind {
    Copy { name: String, _server: Arc<PrivatePostgres>, _own: File },
    Scratch(Box<ScratchDatabase>),
}

/// The server that the tests of this process share, as long as one of them runs.
static SERVER: Mutex<Weak<PrivatePostgres>> = Mutex::new(Weak::new());

impl TestDb {
    /// Makes the database of a test.
    pub(super) async fn create(scripts: &Scripts, name: &str) -> Result<Self, CommandError> {
        let history = scripts.history().map_err(CommandError::fault)?;
        let root = project();
        let (address, kind) = match history.dialect {
            Dialect::Postgres => copy_for(&history, &root, name).await?,
            Dialect::SqlServer => {
                let scratch = ScratchDatabase::create(history.dialect, &root, "test").await?;
                scratch.apply(&history, None, applier()).await?;
                (scratch.address.clone(), Kind::Scratch(Box::new(scratch)))
            }
        };
        let url: DatabaseUrl = address.parse()?;
        let database = Database::open(&url, name, &AppOptions::default(), CONNECTIONS)?;
        Ok(Self(Arc::new(Inner { address, url, database, kind })))
    }

    /// Its address. It contains the password of a private server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.address
    }

    pub(super) fn parsed(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// A pool of connections to it, as the app has one.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// The pool of PostgreSQL.
    ///
    /// # Panics
    ///
    /// If the database is another one.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        self.0.database.postgres().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Keeps the state of the database under a name, for [`TestDb::restore`]. It ends the sessions that use the database.
    ///
    /// # Panics
    ///
    /// If the server refuses, or is SQL Server.
    pub async fn snapshot(&self, name: &str) {
        self.pool().retain(|_, _| false);
        let kept = async {
            onward_migrate::end_sessions(self.parsed()).await?;
            onward_migrate::copy(self.parsed(), &self.named(name)).await
        };
        kept.await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Puts the database back to the state of a snapshot. It ends the sessions that use the database.
    ///
    /// # Panics
    ///
    /// If there is no such snapshot, or the server refuses.
    pub async fn restore(&self, name: &str) {
        self.pool().retain(|_, _| false);
        onward_migrate::replace(self.parsed(), &self.named(name))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn named(&self, snapshot: &str) -> DatabaseUrl {
        let own = self.name();
        self.parsed().with_database(&format!("{own}_{}", short(snapshot)))
    }

    fn name(&self) -> String {
        match &self.0.kind {
            Kind::Copy { name, .. } => name.clone(),
            Kind::Scratch(scratch) => scratch.name().to_owned(),
        }
    }

    /// Drops the database and its snapshots.
    pub(super) async fn drop_it(&self) -> Result<(), CommandError> {
        match &self.0.kind {
            Kind::Copy { .. } => drop_all(self.parsed(), &self.name()).await,
            Kind::Scratch(scratch) => Ok(scratch.remove().await?),
        }
    }

    /// Where the database of a failed test is, without its password.
    pub(super) fn where_it_is(&self) -> String {
        let name = self.name();
        match &self.0.kind {
            Kind::Copy { .. } => format!(
                "the database of the failed test stays until the test runs again: {name}, on the private PostgreSQL of the project, \
                 whose address `cargo run` shows"
            ),
            Kind::Scratch(_) => format!("the database of the failed test stays: {name}"),
        }
    }
}

impl fmt::Debug for TestDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TestDb").field(&self.name()).finish()
    }
}

/// Who applies the scripts in a test.
pub(super) fn applier() -> Applier {
    Applier { host: "cargo test".to_owned(), app_version: String::new() }
}

/// A copy of the template of this history, on the private server.
async fn copy_for(history: &History, root: &Path, test: &str) -> Result<(String, Kind), CommandError> {
    let home = root.join(".onward").join("postgres");
    let locks = root.join(".onward").join("tests");
    fs::create_dir_all(&locks).map_err(|error| unusable(&locks, &error))?;
    let server = blocking(move || shared_server(&home)).await??;
    let at = |name: &str| server.url(name).parse::<DatabaseUrl>();

    let key = short(&key(history));
    let template = at(&format!("{TEMPLATE}{key}"))?;
    // One process makes the template, while no test copies one.
    let path = locks.join("template.lock");
    let is_there =
        async || Ok::<_, CommandError>(!names(&template, &format!("{TEMPLATE}{key}")).await?.is_empty());
    let mut lock = locked(&path, Lock::Shared).await?;
    if !is_there().await? {
        drop(lock);
        let alone = locked(&path, Lock::Alone).await?;
        if !is_there().await? {
            make_template(history, root, &template).await?;
        }
        drop(alone);
        lock = locked(&path, Lock::Shared).await?;
    }
    let (name, own) = name_of(&locks, test).await?;
    let url = at(&name)?;
    drop_all(&url, &name).await?;
    onward_migrate::copy(&template, &url).await?;
    drop(lock);
    Ok((server.url(&name), Kind::Copy { name, _server: server, _own: own }))
}

/// The server, shared with the tests that run meanwhile.
fn shared_server(home: &Path) -> Result<Arc<PrivatePostgres>, CommandError> {
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Ok(server);
    }
    let server = Arc::new(PrivatePostgres::start(home)?);
    *shared = Arc::downgrade(&server);
    Ok(server)
}

/// What the scripts are: those with another text make another database.
fn key(history: &History) -> String {
    let scripts = history.all().map(|script| script.digest.to_string());
    let always = history.always.iter().map(|script| format!("{} {}", script.name, script.digest));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    scripts.chain(always).chain([version]).collect::<Vec<_>>().join(" ")
}

fn short(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Applies the scripts to a scratch database, and keeps a copy of it. Templates of other states of the scripts go.
async fn make_template(history: &History, root: &Path, template: &DatabaseUrl) -> Result<(), CommandError> {
    for old in names(template, TEMPLATE).await? {
        remove(template, &DropTarget { name: old, is_marked: true }).await?;
    }
    let scratch = ScratchDatabase::create(history.dialect, root, "template").await?;
    let made = async {
        scratch.apply(history, None, applier()).await?;
        onward_migrate::copy(&scratch.url, template).await
    };
    let made = made.await;
    scratch.remove().await?;
    Ok(made?)
}

/// A name for the database of a test, which no other process uses at the same time.
async fn name_of(locks: &Path, test: &str) -> Result<(String, File), CommandError> {
    let word: String = test
        .rsplit("::")
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .take(20)
        .collect();
    for number in 0.. {
        let name = format!("{TEST}{word}_{}_{number}", &short(test)[..8]);
        let path = locks.join(format!("{name}.lock"));
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| unusable(&path, &error))?;
        if file.try_lock().is_ok() {
            return Ok((name, file));
        }
    }
    unreachable!("some number is free")
}

/// Drops a database and its snapshots.
async fn drop_all(url: &DatabaseUrl, name: &str) -> Result<(), CommandError> {
    let snapshots = format!("{name}_");
    for name in names(url, name).await?.into_iter().filter(|it| it == name || it.starts_with(&snapshots)) {
        remove(url, &DropTarget { name, is_marked: true }).await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Lock {
    Shared,
    Alone,
}

async fn locked(path: &Path, how: Lock) -> Result<File, CommandError> {
    let path: PathBuf = path.to_owned();
    blocking(move || {
        let file = File::options().create(true).append(true).open(&path);
        let file = file.and_then(|file| {
            match how {
                Lock::Shared => file.lock_shared()?,
                Lock::Alone => file.lock()?,
            }
            Ok(file)
        });
        file.map_err(|error| unusable(&path, &error))
    })
    .await?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(CommandError::fault)
}

fn unusable(path: &Path, error: &io::Error) -> CommandError {
    let message = format!("{} cannot be used: {error}", path.display());
    CommandError::new(Exit::Configuration, message, "correct its owner and permissions")
}
