//! One list of cases for every database: what must hold on both PostgreSQL and SQL Server.
//!
//! The test starts PostgreSQL itself. `TEST_SQLSERVER_URL` names the SQL Server, with the right to create databases.
//! Without it the cases of SQL Server are not in the list, and `REQUIRE_ENGINES=postgres,sqlserver` makes that a failure.

mod address;
mod always;
mod cases;
mod locks;
mod sqlserver;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use world::Kind;

fn main() -> ExitCode {
    if let Ok(url) = std::env::var(locks::MIGRATOR) {
        return locks::be_a_migrator(&url);
    }
    let mut trials = Vec::new();
    for kind in [Kind::Postgres, Kind::SqlServer] {
        if kind.is_there() {
            trials.extend(cases::all(kind));
        }
        let name = kind.name();
        let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
        if required.split(',').any(|engine| engine.trim() == name) {
            let is_there = kind.is_there();
            trials.push(Trial::test(format!("{name}::is_there"), move || {
                if is_there {
                    Ok(())
                } else {
                    Err("REQUIRE_ENGINES asks for it; set TEST_SQLSERVER_URL".into())
                }
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
