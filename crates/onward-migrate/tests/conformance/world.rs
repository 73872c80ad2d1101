use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onward_local::PrivatePostgres;
use onward_migrate::{
    Applier, DatabaseUrl, Error, ErrorKind, MigrateOptions, Migrated, ScriptFailure, Session, SessionOptions,
    SqlServerUrl, Status, TdsClient, migrate, status,
};
use onward_script::{CheckOptions, Content, Dialect, Entry, Folder, History, Known, check};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;
use tokio_util::sync::CancellationToken;

use crate::address::with_database;

pub(crate) const BASELINE: &str =
    "CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, note varchar(50) NULL);";

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    SqlServer,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::SqlServer => "sqlserver",
        }
    }

    pub(crate) fn is_there(self) -> bool {
        self == Self::Postgres || std::env::var_os("TEST_SQLSERVER_URL").is_some()
    }

    const fn dialect(self) -> Dialect {
        match self {
            Self::Postgres => Dialect::Postgres,
            Self::SqlServer => Dialect::SqlServer,
        }
    }
}

/// An empty database of its own.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) url: DatabaseUrl,
    address: String,
    _server: Option<PrivatePostgres>,
}

impl World {
    pub(crate) async fn create(kind: Kind) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("conformance_{}_{}_{next}", now.as_micros(), std::process::id());
        let (address, server) = match kind {
            Kind::Postgres => {
                let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
                let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
                let server = server.expect("does not panic").expect("PostgreSQL starts");
                query(kind, &server.url("app"), &format!("CREATE DATABASE {name}")).await;
                (server.url(&name), Some(server))
            }
            Kind::SqlServer => {
                let url = std::env::var("TEST_SQLSERVER_URL").expect("is set");
                // SQL Server copies a database only for one client at a time, and refuses the others instead of waiting.
                static TURN: Mutex<()> = Mutex::const_new(());
                let _turn = TURN.lock().await;
                query(kind, &url, &format!("CREATE DATABASE {name}")).await;
                (with_database(&url, &name), None)
            }
        };
        let url = address.parse().expect("is an address");
        Self { kind, url, address, _server: server }
    }

    /// A history of these texts: the first is the baseline's.
    pub(crate) fn history(&self, texts: &[&str]) -> History {
        self.history_from(0, texts)
    }

    /// The same after a squash: the baseline contains the scripts up to a number.
    pub(crate) fn history_from(&self, through: i32, texts: &[&str]) -> History {
        history(self.kind.dialect(), through, texts, &[])
    }

    /// A history with scripts in `always/`.
    pub(crate) fn history_with(&self, texts: &[&str], always: &[(&str, &str)]) -> History {
        history(self.kind.dialect(), 0, texts, always)
    }

    /// The database's address, for another process; it holds the password.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn connect(&self) -> Session {
        self.connect_as("onward conformance").await
    }

    pub(crate) async fn connect_as(&self, name: &str) -> Session {
        let options = SessionOptions { application_name: name.to_owned(), ..SessionOptions::default() };
        Session::connect(&self.url, &options).await.expect("connects")
    }

    pub(crate) async fn status(&self, history: &History) -> Status {
        status(&mut self.connect().await, history).await.expect("can be read")
    }

    pub(crate) async fn migrate(&self, history: &History) -> Result<Migrated, Error> {
        self.migrate_with(history, &options()).await
    }

    pub(crate) async fn migrate_with(
        &self,
        history: &History,
        options: &MigrateOptions,
    ) -> Result<Migrated, Error> {
        migrate(&mut self.connect().await, history, options, &mut |_| {}).await
    }

    /// Runs SQL and returns the rows, columns separated by `|`.
    pub(crate) async fn query(&self, sql: &str) -> String {
        query(self.kind, &self.address, sql).await
    }

    /// Runs SQL in a session of its own, which lasts until it is dropped.
    pub(crate) async fn hold(&self, sql: &str) -> Client {
        let mut client = Client::open(self.kind, &self.address).await;
        client.query(sql).await;
        client
    }

    /// The first on PostgreSQL, the second on SQL Server.
    pub(crate) fn either<T>(&self, postgres: T, sql_server: T) -> T {
        match self.kind {
            Kind::Postgres => postgres,
            Kind::SqlServer => sql_server,
        }
    }
}

pub(crate) fn options() -> MigrateOptions {
    MigrateOptions {
        to: None,
        wait: Duration::from_secs(60),
        single_transaction: false,
        applier: Applier { host: "test".to_owned(), app_version: "1.2.3".to_owned() },
        stop: CancellationToken::new(),
    }
}

async fn query(kind: Kind, url: &str, sql: &str) -> String {
    Client::open(kind, url).await.query(sql).await
}

/// A session of the test's own.
pub(crate) enum Client {
    Postgres(tokio_postgres::Client),
    SqlServer(Box<TdsClient>),
}

impl Client {
    async fn open(kind: Kind, url: &str) -> Self {
        match kind {
            Kind::Postgres => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
                tokio::spawn(connection);
                Self::Postgres(client)
            }
            Kind::SqlServer => {
                let url: SqlServerUrl = url.parse().expect("is an address");
                let config = url.driver_config();
                let stream = TcpStream::connect(config.get_addr()).await.expect("connects");
                let client = tiberius::Client::connect(config, stream.compat_write()).await;
                Self::SqlServer(Box::new(client.expect("logs in")))
            }
        }
    }

    async fn query(&mut self, sql: &str) -> String {
        match self {
            Self::Postgres(client) => query_postgres(client, sql).await,
            Self::SqlServer(client) => query_sql_server(client, sql).await,
        }
    }
}

async fn query_postgres(client: &tokio_postgres::Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
            Some(columns.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join("\n")
}

async fn query_sql_server(client: &mut TdsClient, sql: &str) -> String {
    let results = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let results = results.into_results().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = results.into_iter().flatten().map(|row| {
        let columns = row.cells().map(|(_, cell)| match cell {
            tiberius::ColumnData::I32(value) => value.map_or("NULL".to_owned(), |value| value.to_string()),
            tiberius::ColumnData::I64(value) => value.map_or("NULL".to_owned(), |value| value.to_string()),
            tiberius::ColumnData::String(value) => value.as_deref().unwrap_or("NULL").to_owned(),
            other => format!("{other:?}"),
        });
        columns.collect::<Vec<_>>().join("|")
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// A history of these texts, whose baseline contains the scripts up to a number.
pub(crate) fn history(dialect: Dialect, through: i32, texts: &[&str], always: &[(&str, &str)]) -> History {
    let name = |index| match index {
        0 => onward_script::baseline_name(through),
        index => onward_script::script_name(through + i32::try_from(index).expect("is small")),
    };
    let always = always.iter().map(|(name, text)| (format!("always/{name}.sql"), *text));
    let texts = texts.iter().enumerate().map(|(index, text)| (name(index), *text));
    let texts: BTreeMap<_, _> = texts.chain(always).collect();
    let entries = texts.into_iter().map(|(name, text)| Entry { name, content: Content::File(text.into()) });
    let folder = Folder { path: "sql".to_owned(), entries: entries.collect() };
    let checked = check(
        &folder,
        CheckOptions { dialect, release: false, ..CheckOptions::default() },
        &Known::default(),
    );
    checked.history.unwrap_or_else(|| panic!("{:?}", checked.findings))
}

pub(crate) fn failure(error: &Error) -> &ScriptFailure {
    match &error.kind {
        ErrorKind::Script(failure) => failure,
        _ => panic!("is no failure of a script: {error}"),
    }
}
