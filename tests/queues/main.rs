//! The worker on real servers: the embedded one, and LocalStack and moto if `LOCALSTACK_VENV` and `MOTO_VENV` name virtual
//! environments with them (the test starts and ends them). `REQUIRE_ENGINES=localstack,moto` makes their absence a failure.

mod cases;
mod protocol;
mod proxy;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use world::{Kind, Server};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let all = |kind| protocol::all(kind).into_iter().chain(cases::all(kind));
    let mut trials: Vec<_> = all(Kind::Embedded).collect();
    let mut servers = Vec::new();
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    for kind in Kind::INDEPENDENT {
        let is_there = kind.is_there();
        if is_there {
            trials.extend(all(kind));
            servers.extend((!arguments.list).then(|| Server::start(kind)));
        }
        if required.split(',').any(|engine| engine.trim() == kind.name()) {
            let missing = format!("REQUIRE_ENGINES asks for it; set {}", kind.variable());
            trials.push(Trial::test(format!("{}::is_there", kind.name()), move || {
                if is_there { Ok(()) } else { Err(missing.into()) }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
