//! The worker on real servers: the embedded one, and LocalStack if `LOCALSTACK_VENV` names a virtual environment with it
//! (the test starts and ends it). `REQUIRE_ENGINES=localstack` makes its absence a failure.

mod cases;
mod proxy;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use world::{Kind, LocalStack};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = cases::all(Kind::Embedded);
    let is_there = std::env::var_os("LOCALSTACK_VENV").is_some();
    if is_there {
        trials.extend(cases::all(Kind::LocalStack));
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    if required.split(',').any(|engine| engine.trim() == "localstack") {
        trials.push(Trial::test("localstack::is_there", move || {
            if is_there { Ok(()) } else { Err("REQUIRE_ENGINES asks for it; set LOCALSTACK_VENV".into()) }
        }));
    }
    let runs_localstack = is_there && !arguments.list;
    let _server = runs_localstack.then(LocalStack::start);
    libtest_mimic::run(&arguments, trials).exit_code()
}
