//! The unit: systemd checks it if it is installed, and runs it if root may make namespaces. `REQUIRE_ENGINES=systemd` makes
//! the absence of systemd a failure, `systemd-live` that of the namespaces.

mod live;
#[path = "../moments/support.rs"]
#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let is_there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    let mut trials = Vec::new();
    if is_there {
        trials.push(Trial::test("the_unit_is_sound", || analyze(&["verify"])));
        // 30 tenths: systemd calls an exposure of 3 or less OK.
        let security = ["security", "--offline=yes", "--threshold=30", "--no-pager"];
        trials.push(Trial::test("the_unit_exposes_little", move || analyze(&security)));
    }
    let can_be_had = is_there && live::can_be_had();
    if can_be_had {
        let service = live::a_service_from_its_installation_to_its_end;
        trials.push(Trial::test("a_service_from_its_installation_to_its_end", service));
        let container = live::process_1_of_a_container_hears_its_signals;
        trials.push(Trial::test("process_1_of_a_container_hears_its_signals", container));
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    for (engine, is_there) in [("systemd", is_there), ("systemd-live", can_be_had)] {
        if required.split(',').any(|required| required.trim() == engine) {
            trials.push(Trial::test(format!("{engine}_is_there"), move || {
                if is_there {
                    Ok(())
                } else {
                    Err("REQUIRE_ENGINES asks for it; install systemd, be root".into())
                }
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// <https://www.freedesktop.org/software/systemd/man/latest/systemd-analyze.html>
fn analyze(arguments: &[&str]) -> Result<(), Failed> {
    let printed = Command::new(env!("CARGO_BIN_EXE_app")).args(["service", "install", "--print"]).output()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("unit-{}", arguments[0]));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("app.service");
    std::fs::write(&file, printed.stdout)?;
    let output = Command::new("systemd-analyze").args(arguments).arg(&file).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned().into())
}
