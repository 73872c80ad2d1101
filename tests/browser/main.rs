//! The console in Chromium. The driver `chromedriver` must be there, and `AXE_SCRIPT` names the file `axe.min.js` of axe-core;
//! `REQUIRE_ENGINES=chromium` makes their absence a failure. Pictures of all pages are kept in `target/tmp/console`.

#[path = "../moments/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

mod cases;
mod chrome;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let axe = std::env::var("AXE_SCRIPT").ok().and_then(|file| std::fs::read_to_string(file).ok());
    let is_there = chrome::Driver::is_there() && axe.is_some();
    let mut trials = match axe.filter(|_| is_there) {
        Some(axe) => cases::all(&axe),
        None => Vec::new(),
    };
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    if required.split(',').any(|engine| engine.trim() == "chromium") {
        let missing =
            "REQUIRE_ENGINES asks for it; install chromium-driver, and let AXE_SCRIPT name axe.min.js";
        trials.push(Trial::test("chromium::is_there", move || match is_there {
            true => Ok(()),
            false => Err(missing.into()),
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
