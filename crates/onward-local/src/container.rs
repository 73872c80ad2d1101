//! A private server in a container of Docker or Podman, for a machine that does not have its programs.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::error::Error;

/// What to run.
pub(crate) struct Image {
    /// With its tag.
    pub name: &'static str,
    /// A word for the container's name.
    pub kind: &'static str,
    /// The port inside.
    pub port: u16,
    /// The folder inside that holds the data.
    pub data: &'static str,
    /// The variables for the start; a value is not part of any command line.
    pub variables: Vec<(&'static str, String)>,
    /// What follows the image on the command line.
    pub arguments: &'static [&'static str],
}

/// A container with its volume.
#[derive(Debug)]
pub(crate) struct Container {
    engine: String,
    name: String,
}

/// The engines, by preference. Both have the same command line.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// How long a server may take to start. The first start of SQL Server also makes its system databases.
const START: Duration = Duration::from_secs(180);

/// How long to wait for a line of the server's log before the next question whether it is ready: it may be so after its last line.
const QUIET: Duration = Duration::from_secs(1);

impl Container {
    /// The engine that answers, or why none does.
    pub(crate) fn engine() -> Result<&'static str, String> {
        let mut reasons = Vec::new();
        for engine in ENGINES {
            match run(Command::new(engine).args(["info", "--format", "{{.ID}}"])) {
                Ok(_) => return Ok(engine),
                Err(reason) => {
                    reasons.push(format!("{engine}: {}", reason.lines().next().unwrap_or_default()))
                }
            }
        }
        Err(reasons.join("; "))
    }

    /// Starts the container of a folder, or makes it. A container that runs is used as it is.
    pub(crate) fn start(engine: &str, home: &Path, image: &Image) -> Result<Self, Error> {
        let mut hasher = DefaultHasher::new();
        home.hash(&mut hasher);
        let engine = engine.to_owned();
        let container = Self { engine, name: format!("onward-{}-{:016x}", image.kind, hasher.finish()) };
        let state = container.state();
        let outcome = match state.as_deref() {
            Some("running") => Ok(String::new()),
            Some(_) => container.run(&["start", &container.name]),
            None => container.create(image),
        };
        outcome.map_err(|reason| {
            let message = format!("{} did not start {}: {reason}", container.engine, image.name);
            Error::new(message, "correct what it reports, or set DATABASE_URL to a database of your own")
        })?;
        Ok(container)
    }

    fn create(&self, image: &Image) -> Result<String, String> {
        let mut command = Command::new(&self.engine);
        command.args(["run", "--detach", "--name", &self.name]);
        for (name, value) in &image.variables {
            command.args(["--env", name]).env(name, value);
        }
        command.args(["--publish", &format!("127.0.0.1::{}", image.port)]);
        command.args(["--volume", &format!("{}:{}", self.name, image.data)]);
        command.arg(image.name).args(image.arguments);
        // The engine shows there how far the download is.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| error.to_string())?;
        said(&output)
            .map_err(|reason| if reason.is_empty() { "see its message above".to_owned() } else { reason })
    }

    /// The state in the engine's words; `None` if there is no such container.
    fn state(&self) -> Option<String> {
        self.run(&["container", "inspect", "--format", "{{.State.Status}}", &self.name]).ok()
    }

    /// The port on this machine, which may be another one after each start.
    pub(crate) fn port(&self, inside: u16) -> Result<u16, Error> {
        let unknown = |reason: String| {
            let message = format!("{} does not say the port of {}: {reason}", self.engine, self.name);
            Error::new(message, format!("remove the container: `{} rm --force {}`", self.engine, self.name))
        };
        let answer = self.run(&["port", &self.name, &format!("{inside}/tcp")]).map_err(unknown)?;
        let port = answer.lines().next().and_then(|line| line.rsplit(':').next()?.trim().parse().ok());
        port.ok_or_else(|| unknown(answer))
    }

    /// Waits until a command succeeds in the container.
    pub(crate) fn wait_until(&self, ready: &[&str], variable: Option<(&str, &str)>) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        let log = self.follow()?;
        loop {
            let reason = match self.exec(ready, variable) {
                Ok(_) => return Ok(()),
                Err(reason) => reason,
            };
            let has_ended = self.state().as_deref() != Some("running");
            if has_ended || Instant::now() > deadline {
                let lines = self.run(&["logs", "--tail", "5", &self.name]).unwrap_or_default();
                let message = format!(
                    "the server in {} is not ready: {reason}\n    {}",
                    self.name,
                    lines.replace('\n', "\n    ")
                );
                let help = format!(
                    "correct what the log reports, or remove the container and its data: `{0} rm --force {1} && {0} volume rm {1}`",
                    self.engine, self.name
                );
                return Err(Error::new(message, help));
            }
            log.next(QUIET);
        }
    }

    fn follow(&self) -> Result<Log, Error> {
        let mut command = Command::new(&self.engine);
        command.args(["logs", "--follow", "--tail", "1", &self.name]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| {
            Error::new(format!("{} cannot be run: {error}", self.engine), "start Docker or Podman again")
        })?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                // It ends with the child, or when nobody listens.
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Log { child, lines })
    }

    /// Runs a command in the container; a secret goes in a variable, because every user of the machine can see a command line.
    pub(crate) fn exec(&self, given: &[&str], variable: Option<(&str, &str)>) -> Result<String, String> {
        let mut command = Command::new(&self.engine);
        command.arg("exec");
        if let Some((name, value)) = variable {
            command.args(["--env", name]).env(name, value);
        }
        run(command.arg(&self.name).args(given))
    }

    /// A command line with which a person gets into the container.
    pub(crate) fn shell(&self, given: &str) -> String {
        format!("{} exec -it {} {given}", self.engine, self.name)
    }

    /// Stops it; its data stay in the volume.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.run(&["stop", "--time", "10", &self.name]).map(|_| ()).map_err(|reason| {
            let message = format!("the container {} did not stop: {reason}", self.name);
            Error::new(message, format!("stop it with `{} stop {}`", self.engine, self.name))
        })
    }

    fn run(&self, given: &[&str]) -> Result<String, String> {
        run(Command::new(&self.engine).args(given))
    }
}

/// The lines that a server writes while it starts.
struct Log {
    child: Child,
    lines: Receiver<String>,
}

impl Log {
    /// Waits for the next line, for a while.
    fn next(&self, longest: Duration) {
        match self.lines.recv_timeout(longest) {
            Ok(line) => tracing::debug!(line, "the container's log"),
            // A server with nothing to say, or a log that has ended with its container: the next question tells.
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(longest),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // It may have ended with the container.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    said(&output)
}

fn said(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(match text(&output.stderr) {
        reason if reason.is_empty() => text(&output.stdout),
        reason => reason,
    })
}

/// A program that answers as an engine does, and writes down what it was asked.
#[cfg(all(test, unix))]
pub(crate) mod fake {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    pub(crate) struct Engine {
        folder: tempfile::TempDir,
    }

    /// Each command is a line of `asked`, but for the log that is followed: that runs beside the others, in no order. The server is
    /// ready when it was asked as often as `ready` says; the container ends before that if there is a file `ends`.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case "$*" in "logs --follow"*) ;; *) echo "$*" >> asked ;; esac
case "$1" in
info) echo id ;;
container) [ -f state ] || { echo "no such container" >&2; exit 1; }; cat state ;;
run|start) [ "$1" = run ] && env > environment; echo running > state; echo 0 > questions; echo id ;;
port) echo "127.0.0.1:15433" ;;
exec)
    count=$(($(cat questions) + 1)); echo $count > questions
    [ -f ends ] && echo exited > state
    [ $count -ge "$(cat ready)" ] || { echo "Login failed" >&2; exit 1; } ;;
logs) echo "the last line" ; case "$*" in *--follow*) exec sleep 1000 ;; esac ;;
stop) echo exited > state ;;
*) echo "unknown command $1" >&2; exit 1 ;;
esac
"#;

    impl Engine {
        pub(crate) fn new() -> Self {
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let program = folder.path().join("engine");
            fs::write(&program, SCRIPT).expect("is writable");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("is ours");
            let engine = Self { folder };
            engine.write("ready", "2");
            engine
        }

        pub(crate) fn program(&self) -> String {
            self.folder.path().join("engine").display().to_string()
        }

        pub(crate) fn home(&self) -> &Path {
            self.folder.path()
        }

        pub(crate) fn write(&self, file: &str, text: &str) {
            fs::write(self.folder.path().join(file), text).expect("is writable");
        }

        pub(crate) fn read(&self, file: &str) -> String {
            fs::read_to_string(self.folder.path().join(file)).expect("is there")
        }

        /// The first words of what it was asked since the last call.
        pub(crate) fn asked(&self) -> Vec<String> {
            let asked = self.read("asked");
            self.write("asked", "");
            asked.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
        }
    }
}
