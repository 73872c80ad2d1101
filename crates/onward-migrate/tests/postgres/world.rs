use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use onward_local::PrivatePostgres;
use onward_migrate::{
    Applier, Error, MigrateOptions, Migrated, Postgres, PostgresUrl, SessionOptions, Status, migrate, status,
};
use onward_script::{CheckOptions, Content, Entry, Folder, History, Known, check};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

pub(crate) const BASELINE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, note text);";

/// A database of its own.
pub(crate) struct Database {
    pub url: String,
    server: PrivatePostgres,
}

impl Database {
    pub(crate) async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
        let server = server.expect("does not panic").expect("PostgreSQL starts");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("migrate_{}_{}_{next}", now.as_micros(), std::process::id());
        query(&server.url("app"), &format!("CREATE DATABASE {name}")).await;
        Self { url: server.url(&name), server }
    }

    /// Another database with the same content.
    pub(crate) async fn copy(&self) -> Self {
        let copy = Self::create().await;
        let (from, to) = (name_of(&self.url), name_of(&copy.url));
        let server = copy.server.url("app");
        query(&server, &format!("DROP DATABASE {to}")).await;
        query(&server, &format!("CREATE DATABASE {to} TEMPLATE {from}")).await;
        copy
    }

    /// The database as `pg_dump` writes it, without the commands of psql.
    pub(crate) fn dump(&self) -> String {
        let output = std::process::Command::new("pg_dump")
            .args(["--schema-only", "--no-owner", "--no-privileges", "--dbname", &self.url])
            .output()
            .expect("pg_dump is there");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("is text");
        text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
    }

    /// A session of another role.
    pub(crate) async fn connect_as(&self, user: &str, password: &str) -> Postgres {
        let url: PostgresUrl = self.url.parse().expect("is an address");
        let address = self.url.split_once('@').expect("names a user").1;
        let other = format!("postgres://{user}:{password}@{address}").parse().unwrap_or(url);
        let options = SessionOptions { reads_only: true, ..SessionOptions::default() };
        Postgres::connect(&other, &options).await.expect("connects")
    }

    pub(crate) async fn connect(&self) -> Postgres {
        let url: PostgresUrl = self.url.parse().expect("is an address");
        Postgres::connect(&url, &SessionOptions::default()).await.expect("connects")
    }

    pub(crate) async fn status(&self, history: &History) -> Status {
        status(&mut self.connect().await, history).await.expect("can be read")
    }

    pub(crate) async fn migrate(
        &self,
        history: &History,
        options: &MigrateOptions,
    ) -> Result<Migrated, Error> {
        migrate(&mut self.connect().await, history, options, &mut |_| {}).await
    }

    /// Runs SQL and returns the rows, columns separated by `|`.
    pub(crate) async fn query(&self, sql: &str) -> String {
        query(&self.url, sql).await
    }

    /// As [`Database::query`], where the server may refuse.
    pub(crate) async fn try_query(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        try_query(&self.url, sql).await
    }
}

pub(crate) async fn query(url: &str, sql: &str) -> String {
    try_query(url, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

async fn try_query(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connects");
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(sql).await?;
    drop(client);
    // A database with an open connection is no template.
    connection.await.expect("does not panic")?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
            Some(columns.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    Ok(rows.collect::<Vec<_>>().join("\n"))
}

fn name_of(url: &str) -> &str {
    let name = url.rsplit('/').next().expect("names a database");
    name.split('?').next().unwrap_or(name)
}

/// A history of these texts: the first is the baseline's.
pub(crate) fn history(texts: &[&str]) -> History {
    let name = |index| match index {
        0 => "Baseline.sql".to_owned(),
        number => format!("Script-{number:04}.sql"),
    };
    let texts: BTreeMap<_, _> = texts.iter().enumerate().map(|(index, text)| (name(index), *text)).collect();
    let entries = texts.into_iter().map(|(name, text)| Entry { name, content: Content::File(text.into()) });
    let folder = Folder { path: "sql".to_owned(), entries: entries.collect() };
    let checked = check(&folder, CheckOptions::default(), &Known::default());
    checked.history.unwrap_or_else(|| panic!("{:?}", checked.findings))
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

/// A role of its own, which makes what its scripts make; its address.
pub(crate) async fn with_role(database: &Database, prefix: &str) -> (String, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let role = format!("{prefix}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let name = database.query("SELECT current_database()").await;
    database
        .query(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE {name} TO {role}; \
             GRANT ALL ON SCHEMA public TO {role}"
        ))
        .await;
    let (_, host) = database.url.split_once('@').expect("has a host");
    (format!("postgres://{role}:x@{host}"), role)
}

pub(crate) async fn connect_to(url: &str) -> Postgres {
    let url: PostgresUrl = url.parse().expect("is an address");
    Postgres::connect(&url, &SessionOptions::default()).await.expect("connects")
}
