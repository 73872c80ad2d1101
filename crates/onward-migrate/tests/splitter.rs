//! The splitter of PostgreSQL scripts against the server: for random texts both see the same number of statements.
//!
//! `SPLITTER_TEXTS` says how many texts, `SPLITTER_SEED` which ones.

use std::path::Path;

use fastrand::Rng;
use onward_local::PrivatePostgres;
use onward_script::statements;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Statements with what hides a semicolon, or seems to. Each is harmless, and most of their mutants are not SQL.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT 'a;b'",
    "SELECT 'it''s;'",
    "SELECT 'a\\'",
    "SELECT E'a\\';b'",
    "SELECT E'\\\\'",
    "SELECT e'a' ';'",
    "SELECT 'a'\n';b'",
    "SELECT 'a' -- ;\n  ';b'",
    "SELECT E'a'\n'\\';b'",
    "SELECT B'01', X'1F'",
    "SELECT N'a;'",
    "SELECT U&'d\\0061;' UESCAPE '!'",
    "SELECT U&\"d\\0061;\" FROM (SELECT 1 AS \"da;\") x",
    "SELECT 1 AS \"a;\"\"b\"",
    "SELECT $$a;b$$",
    "SELECT $t$a;$$;$t$",
    "SELECT $é_1$;$é_1$",
    "SELECT a$b$c FROM (SELECT 1 AS a$b$c) x",
    "SELECT 1 -- ;",
    "SELECT 1 /* ; */ + 2",
    "SELECT /* a /* ; */ ; */ 1",
    "SELECT 1 /* -- */ ",
    "SELECT 2 - - 1",
    "SELECT 2 --1\n",
    "SELECT @ -1, ~ 1",
    "SELECT 1 *-1",
    "SELECT 1.5e3, .5, 0.1",
    "SELECT (1), (SELECT 2)",
    "VALUES (1), (2)",
    "SELECT CASE WHEN true THEN 1 END",
    "SELECT 1 AS \"end\", 2 AS begin",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE OR REPLACE FUNCTION pg_temp.f(begin int, until int) RETURNS int LANGUAGE sql AS $$ SELECT until - begin; $$",
    "CREATE OR REPLACE FUNCTION pg_temp.g() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "CREATE OR REPLACE FUNCTION pg_temp.h() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT x.end FROM (SELECT 1 AS end) x; END",
    "CREATE OR REPLACE PROCEDURE pg_temp.p() LANGUAGE sql BEGIN ATOMIC END",
    "CREATE OR REPLACE FUNCTION pg_temp.r() RETURNS int LANGUAGE sql RETURN (1 + 2)",
];

/// What is put between statements, and into them by a mutation.
const NOISE: &[&str] = &[
    "'", "\"", "$$", "$t$", "$", "--", "/*", "*/", "\\", "\n", "\r", "\t", ";", " ", "(", ")", "E'", "U&'",
    "é", "\u{a0}", "a", "1",
];

fn text(random: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(1..5) {
        text.push_str(random.choice(STATEMENTS).expect("there are some"));
        text.push_str(
            random.choice([";", " ;", ";\n", ";;", "; -- ;\n", "\n;", "; /* ; */"]).expect("there are some"),
        );
    }
    if random.bool() {
        let mut places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        places.push(text.len());
        let place = places[random.usize(..places.len())];
        match random.choice(NOISE) {
            Some(noise) if random.bool() => text.insert_str(place, noise),
            _ if place < text.len() => drop(text.remove(place)),
            _ => {}
        }
    }
    // The driver does not tell an empty query from a statement, so there is one at least.
    text + "\n;SELECT 1"
}

/// How many statements the server has seen, or none where it refuses the text.
async fn seen(client: &Client, text: &str) -> Option<usize> {
    let messages = client.simple_query(text).await.ok()?;
    let done = |message: &&SimpleQueryMessage| matches!(message, SimpleQueryMessage::CommandComplete(_));
    Some(messages.iter().filter(done).count())
}

#[tokio::test]
async fn the_server_sees_as_many_statements() {
    let number = |name, default| {
        std::env::var(name)
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (texts, seed) = (number("SPLITTER_TEXTS", 20_000), number("SPLITTER_SEED", 1));
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    let server = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = server.expect("does not panic").expect("PostgreSQL starts");
    let (client, connection) = tokio_postgres::connect(&server.url("app"), NoTls).await.expect("connects");
    tokio::spawn(connection);
    let (mut random, mut accepted) = (Rng::with_seed(seed), 0);
    for _ in 0..texts {
        let text = text(&mut random);
        let Some(seen) = seen(&client, &text).await else { continue };
        accepted += 1;
        let ours = statements(&text).len();
        assert_eq!(ours, seen, "seed {seed}: the server sees {seen} statements, we see {ours}:\n{text}");
    }
    assert!(accepted > texts / 2, "the server accepts {accepted} of {texts}: too few tell anything");
}
