//! Measures the build script's own time and the app's recompile with many scripts. The peers are `sqlx::migrate!` and
//! refinery's `embed_migrations!` over the same texts. `cargo bench --bench build_script -- [SCRIPTS] [TOOL]`, 1,000
//! scripts and all three tools by default.
//!
//! It creates a small project for each tool and builds it once; cargo fetches its dependencies from the registry. Then
//! it times `cargo build` without a change and after each kind of change.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;

fn main() {
    let scripts: usize =
        std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000);
    let only = std::env::args().find(|argument| ["onward", "sqlx", "refinery"].contains(&argument.as_str()));
    let mut out = std::io::stdout();
    for profile in ["dev", "release"] {
        for tool in [Tool::Onward, Tool::Sqlx, Tool::Refinery] {
            if only.as_ref().is_some_and(|only| only != tool.name()) {
                continue;
            }
            // Its macro generates one function with all texts: from here on the optimiser needs minutes for it.
            if tool == Tool::Refinery && (profile == "release" || scripts > 1_000) {
                continue;
            }
            let project = Project::create(tool, scripts, profile);
            project.build();
            let nothing = project.best(|_| {});
            let cold = project.best(|project| project.forget());
            let draft = project.best(|project| project.edit_draft());
            let added = project.best(|project| project.edit_main());
            writeln!(
                out,
                "{scripts} scripts, {profile:7}, {:8} | nothing {:6} ms | cold {:6} ms | a draft changed {:6} ms | \
                 only the code changed {:6} ms{}",
                tool.name(),
                nothing.as_millis(),
                cold.as_millis(),
                draft.as_millis(),
                added.as_millis(),
                project.own_time()
            )
            .expect("is open");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Onward,
    Sqlx,
    Refinery,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Onward => "onward",
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
        }
    }
}

struct Project {
    tool: Tool,
    root: PathBuf,
    profile: &'static str,
    last: PathBuf,
}

impl Project {
    fn create(tool: Tool, scripts: usize, profile: &'static str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}-{scripts}", tool.name()));
        let folder = root.join(if tool == Tool::Onward { "sql" } else { "migrations" });
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("is ours");
        }
        fs::create_dir_all(&folder).expect("is writable");
        fs::create_dir_all(root.join("src")).expect("is writable");
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
        let (dependencies, main) = match tool {
            Tool::Onward => (
                format!(
                    "include_dir = \"0.7\"\n[build-dependencies]\nonward-build = {{ path = {:?} }}\n\
                     [profile.dev.package.sha2]\nopt-level = 3\n",
                    crates.join("onward-build")
                ),
                "static DIR: include_dir::Dir<'static> = include_dir::include_dir!(\"$OUT_DIR/onward\");\n\
                 fn main() { print!(\"{}\", DIR.files().count()) }\n",
            ),
            Tool::Sqlx => (
                "sqlx = { version = \"0.9\", default-features = false, features = [\"macros\", \"migrate\", \
                 \"postgres\", \"runtime-tokio\"] }\n"
                    .to_owned(),
                "static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();\n\
                 fn main() { print!(\"{}\", MIGRATOR.iter().count()) }\n",
            ),
            Tool::Refinery => (
                "refinery = { version = \"0.10\", default-features = false }\n".to_owned(),
                "refinery::embed_migrations!(\"migrations\");\n\
                 fn main() { print!(\"{}\", migrations::runner().get_migrations().len()) }\n",
            ),
        };
        let manifest = format!(
            "[package]\nname = \"bench-{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             {dependencies}",
            tool.name()
        );
        fs::write(root.join("Cargo.toml"), manifest).expect("is writable");
        fs::write(root.join("src/main.rs"), main).expect("is writable");
        let build = match tool {
            Tool::Onward => "fn main() { onward_build::embed(\"sql\"); }\n",
            // The documents of both peers advise this, so that cargo notices a changed folder.
            _ => "fn main() { println!(\"cargo:rerun-if-changed=migrations\"); }\n",
        };
        fs::write(root.join("build.rs"), build).expect("is writable");
        let mut lock =
            onward_script::Lock { rules: Some(onward_script::RULES_VERSION), ..Default::default() };
        let mut last = PathBuf::new();
        for number in 0..=scripts {
            let text = script(number);
            let name = match (tool, number) {
                (Tool::Onward, 0) => "Baseline.sql".to_owned(),
                (Tool::Onward, number) => format!("Script-{number:04}.sql"),
                (Tool::Sqlx, number) => format!("{:06}_script.sql", number + 1),
                (Tool::Refinery, number) => format!("V{}__script.sql", number + 1),
            };
            last = folder.join(&name);
            fs::write(&last, &text).expect("is writable");
            // The last script is a draft in dev; a release holds only sealed scripts.
            if number < scripts || profile == "release" {
                lock.push(&name, onward_script::Digest::of(text.as_bytes()));
            }
        }
        if tool == Tool::Onward {
            fs::write(folder.join("scripts.lock"), lock.to_text()).expect("is writable");
        }
        Self { tool, root, profile, last }
    }

    fn build(&self) -> Duration {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&self.root).args(["build", "--quiet", "--profile", self.profile]);
        cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-target"));
        let begun = Instant::now();
        let output = cargo.output().expect("cargo runs");
        let took = begun.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        took
    }

    fn best(&self, change: impl Fn(&Self)) -> Duration {
        let times = (0..ROUNDS).map(|_| {
            change(self);
            self.build()
        });
        times.min().expect("there are rounds")
    }

    /// Makes the next build a cold one: it also deletes the result of the last check.
    fn forget(&self) {
        for out in self.out_folders() {
            let _ = fs::remove_dir_all(out.join("onward"));
        }
        self.edit_main();
        self.touch(&self.root.join("build.rs"));
        self.touch(&self.last);
    }

    fn edit_draft(&self) {
        if self.tool == Tool::Onward && self.profile == "release" {
            return self.touch(&self.last);
        }
        let mut text = fs::read_to_string(&self.last).expect("is there");
        text.push_str("-- edited\n");
        fs::write(&self.last, text).expect("is writable");
    }

    fn edit_main(&self) {
        self.touch(&self.root.join("src/main.rs"));
    }

    fn touch(&self, path: &Path) {
        let text = fs::read(path).expect("is there");
        fs::write(path, text).expect("is writable");
    }

    fn out_folders(&self) -> Vec<PathBuf> {
        let folder = if self.profile == "dev" { "debug" } else { "release" };
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-target").join(folder).join("build");
        let entries = fs::read_dir(build).into_iter().flatten().flatten();
        let prefix = format!("bench-{}-", self.tool.name());
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        ours.map(|entry| entry.path().join("out")).filter(|path| path.exists()).collect()
    }

    /// The times of the build script alone, without cargo: one draft changed, and everything new.
    fn own_time(&self) -> String {
        if self.tool != Tool::Onward {
            return String::new();
        }
        let Some(out) = self.out_folders().into_iter().find(|out| out.join("onward").exists()) else {
            return String::new();
        };
        let folder = if self.profile == "dev" { "debug" } else { "release" };
        let build = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-target").join(folder).join("build");
        let script = fs::read_dir(build)
            .expect("is there")
            .flatten()
            .map(|entry| entry.path().join("build-script-build"))
            .find(|path| path.exists() && path.to_string_lossy().contains("bench-onward-"));
        let Some(script) = script else { return String::new() };
        let run = || {
            let mut command = Command::new(&script);
            command.current_dir(&self.root).env("CARGO_MANIFEST_DIR", &self.root).env("OUT_DIR", &out);
            command.env("PROFILE", folder);
            let begun = Instant::now();
            assert!(command.output().expect("runs").status.success());
            begun.elapsed()
        };
        run();
        let changed = (0..ROUNDS).map(|_| run()).min().unwrap_or_default();
        fs::remove_dir_all(out.join("onward")).expect("is there");
        let cold = run();
        let mut text = String::new();
        write!(text, " | the script itself: {} ms, cold {} ms", changed.as_millis(), cold.as_millis())
            .expect("a String takes every write");
        text
    }
}

/// 300 bytes to 20 KB.
fn script(number: usize) -> String {
    let mut text =
        format!("-- script {number}\nCREATE TABLE t{number} (id bigint PRIMARY KEY, note text NOT NULL);\n");
    let length = 300 + (number * 7919) % 20 * 1000 / (1 + number % 7);
    let mut row = 0;
    while text.len() < length {
        row += 1;
        writeln!(
            text,
            "INSERT INTO t{number} VALUES ({row}, 'a note that is neither long nor short, number {row}');"
        )
        .expect("a String takes every write");
    }
    text
}
