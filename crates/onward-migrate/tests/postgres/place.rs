//! Where the journal is, and what counts as an empty database.

use onward_migrate::{MigrateOptions, Postgres, PostgresUrl, SchemaState, SessionOptions, migrate, status};

use crate::world::{BASELINE, Database, connect_to, history, options, with_role};

#[tokio::test]
async fn a_schema_of_the_roles_name_hides_no_journal() {
    let database = Database::create().await;
    let (url, role) = with_role(&database, "journal").await;
    let all = history(&[
        "CREATE TABLE orders (id bigint PRIMARY KEY);",
        &format!("INSERT INTO orders VALUES (1); CREATE SCHEMA IF NOT EXISTS {role};"),
        "CREATE TABLE invoices (id bigint PRIMARY KEY);",
    ]);
    let first = MigrateOptions { to: Some(1), ..options() };
    migrate(&mut connect_to(&url).await, &all, &first, &mut |_| {}).await.expect("works");
    assert_eq!(status(&mut connect_to(&url).await, &all).await.expect("is read").applied, Some(1));
    assert_eq!(database.status(&all).await.applied, Some(1), "another role sees the same journal");
    let rest = migrate(&mut connect_to(&url).await, &all, &options(), &mut |_| {}).await.expect("works");
    assert_eq!((rest.from, rest.scripts), (Some(1), 1));
    let journals = "SELECT count(*) FROM pg_class WHERE relname = 'schema_journal'";
    assert_eq!(database.query(journals).await, "1");
    assert_eq!(database.query("SELECT count(*) FROM pg_class WHERE relname = 'orders'").await, "1");
}

#[tokio::test]
async fn a_search_path_that_a_script_sets_hides_no_journal() {
    let database = Database::create().await;
    let (url, role) = with_role(&database, "path").await;
    let all = history(&[
        "CREATE TABLE orders (id bigint PRIMARY KEY);",
        &format!("CREATE SCHEMA core; ALTER ROLE {role} SET search_path TO core, public;"),
        "CREATE TABLE invoices (id bigint PRIMARY KEY);",
    ]);
    for to in [1, 2] {
        let up_to = MigrateOptions { to: Some(to), ..options() };
        migrate(&mut connect_to(&url).await, &all, &up_to, &mut |_| {}).await.expect("works");
        assert_eq!(status(&mut connect_to(&url).await, &all).await.expect("is read").applied, Some(to));
    }
    // A path that names no schema at all hides none, either.
    database.query(&format!("ALTER ROLE {role} SET search_path TO nowhere")).await;
    assert_eq!(status(&mut connect_to(&url).await, &all).await.expect("is read").state, SchemaState::Current);
}

#[tokio::test]
async fn a_named_schema_has_a_journal_of_its_own() {
    let database = Database::create().await;
    let all = history(&["CREATE TABLE orders (id bigint PRIMARY KEY);"]);
    database.migrate(&all, &options()).await.expect("works");
    database.query("CREATE SCHEMA other").await;
    let url: PostgresUrl = database.url.parse().expect("is an address");
    let named = SessionOptions { journal_schema: Some("other".to_owned()), ..SessionOptions::default() };
    let mut engine = Postgres::connect(&url, &named).await.expect("connects");
    assert_eq!(status(&mut engine, &all).await.expect("is read").state, SchemaState::Empty);
    let url: PostgresUrl =
        format!("{}&options=-csearch_path%3Dother", database.url).parse().expect("is an address");
    let mut engine = Postgres::connect(&url, &SessionOptions::default()).await.expect("connects");
    migrate(&mut engine, &all, &options(), &mut |_| {}).await.expect("works");
    assert_eq!(database.query("SELECT count(*) FROM other.orders").await, "0");
    assert_eq!(database.status(&all).await.state, SchemaState::Current, "the other one is where it was");
}

#[tokio::test]
async fn only_what_no_user_made_counts_as_empty() {
    let state = async |made: &str| {
        let database = Database::create().await;
        database.query(made).await;
        database.status(&history(&[BASELINE])).await.state
    };
    for made in [
        "CREATE SCHEMA shop",
        "CREATE SCHEMA shop; CREATE TABLE shop.orders ()",
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE DOMAIN positive AS int CHECK (value > 0)",
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE PROCEDURE nothing() LANGUAGE sql AS ''",
        "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)",
        "CREATE SEQUENCE numbers",
        "CREATE VIEW two AS SELECT 2",
        "CREATE MATERIALIZED VIEW three AS SELECT 3",
        "CREATE COLLATION german (locale = 'C')",
        "CREATE TEXT SEARCH CONFIGURATION search (COPY = simple)",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE FUNCTION hear() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER heard ON ddl_command_end EXECUTE FUNCTION hear()",
        "DROP SCHEMA public; CREATE SCHEMA public; CREATE TABLE t ()",
    ] {
        assert_eq!(state(made).await, SchemaState::Unversioned, "{made}");
    }
    for made in [
        "SELECT 1",
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "CREATE SCHEMA extensions; CREATE EXTENSION IF NOT EXISTS hstore SCHEMA extensions",
        "DROP SCHEMA public; CREATE SCHEMA public",
        "CREATE TEMP TABLE t ()",
        "DO 'BEGIN CREATE ROLE rdsadmin; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END'; \
         CREATE SCHEMA rds; CREATE TABLE rds.heartbeat (); ALTER SCHEMA rds OWNER TO rdsadmin; \
         CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION one() OWNER TO rdsadmin",
    ] {
        assert_eq!(state(made).await, SchemaState::Empty, "{made}");
    }
}
