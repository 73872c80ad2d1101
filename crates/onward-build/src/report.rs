//! The instructions of a build script to cargo: <https://doc.rust-lang.org/cargo/reference/build-scripts.html>.

use std::io::Write as _;

use onward_script::{Checked, Severity, render};

pub(crate) fn rerun_if_changed(folder: &str) {
    say("rerun-if-changed", folder);
}

/// Reports each finding line by line. The build script then exits with 0: the reported error still fails the
/// build, and without the dump of the output that a panic causes.
pub(crate) fn findings(checked: &Checked, program: &str) {
    for finding in checked.findings.iter().map(|finding| finding.of_program(program)) {
        let instruction = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let source = checked.sources.get(&finding.file).map(String::as_str);
        for line in render::render(&finding, source).lines() {
            say(instruction, line);
        }
    }
}

fn say(instruction: &str, value: &str) {
    writeln!(std::io::stdout(), "cargo::{instruction}={value}")
        .expect("cargo reads the output of a build script");
}
