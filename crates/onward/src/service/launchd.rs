//! A launchd job and its commands: a daemon of the system, or an agent of one user.
//! launchd.plist(5) and launchctl(1) on macOS; <https://developer.apple.com/library/archive/documentation/MacOSX/Conceptual/BPSystemStartup/Chapters/CreatingLaunchdJobs.html>

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::file::{self, ask};
use super::{STOP_SECONDS, full_path, moment, program, report, safe};
use crate::cli::Install;
use crate::config::identity::Identity;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::data;

/// A job: a daemon, or an agent of a user.
pub(super) struct Service {
    name: String,
    of_user: bool,
    /// `system`, or `gui/501`.
    domain: String,
    /// The folder of its property list.
    folder: PathBuf,
    /// The folder of its log.
    logs: PathBuf,
    launchctl: PathBuf,
}

impl Service {
    #[cfg(target_os = "macos")]
    pub(super) fn of(name: String, of_user: bool) -> Result<Self, CommandError> {
        let launchctl = PathBuf::from("/bin/launchctl");
        let library = match of_user {
            false => PathBuf::from("/Library"),
            true => std::env::var_os("HOME")
                .map(|home| PathBuf::from(home).join("Library"))
                .ok_or_else(|| CommandError::new(Exit::Configuration, "HOME is not set", "set it"))?,
        };
        let (domain, folder) = match of_user {
            false => ("system".to_owned(), library.join("LaunchDaemons")),
            true => (format!("gui/{}", rustix::process::getuid()), library.join("LaunchAgents")),
        };
        Ok(Self { name, of_user, domain, folder, logs: library.join("Logs"), launchctl })
    }

    pub(super) fn install(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<Exit, CommandError> {
        let text = self.property_list(identity, install, env_file)?;
        let boot = if install.disabled { "disable" } else { "enable" };
        let enable = || self.launchctl(&[boot, &self.target()]);
        file::install(&self.name, &self.file(), &text, install.print, || self.is_loaded(), enable)
    }

    pub(super) fn uninstall(&self) -> Result<Exit, CommandError> {
        if !self.file().exists() {
            return report(&self.name, "is not installed");
        }
        self.unload()?;
        file::remove(&self.file())?;
        report(&self.name, "is uninstalled")
    }

    pub(super) fn start(&self) -> Result<Exit, CommandError> {
        if self.state()?.as_deref() == Some("running") {
            return report(&self.name, "runs already");
        }
        self.is_installed()?;
        self.load()?;
        report(&self.name, "started")
    }

    pub(super) fn stop(&self) -> Result<Exit, CommandError> {
        self.is_installed()?;
        if !self.is_loaded()? {
            return report(&self.name, "does not run");
        }
        self.unload()?;
        report(&self.name, "stopped")
    }

    /// Does not use `kickstart -k`, because that does not wait for a drain.
    pub(super) fn restart(&self) -> Result<Exit, CommandError> {
        self.is_installed()?;
        self.unload()?;
        self.load()?;
        report(&self.name, "restarted")
    }

    pub(super) fn status(&self) -> Result<Exit, CommandError> {
        let state = self.state()?;
        data(&format!("{}  {}", self.name, state.as_deref().unwrap_or("not loaded")))?;
        Ok(if state.as_deref() == Some("running") { Exit::Done } else { Exit::Failed })
    }

    fn is_installed(&self) -> Result<(), CommandError> {
        super::is_installed(&self.name, &self.file())
    }

    /// Loads the job. Loading starts it, unless it waits for `service start`; then `kickstart` starts it.
    fn load(&self) -> Result<(), CommandError> {
        if !self.is_loaded()? {
            self.done(&["bootstrap", &self.domain, &self.file().to_string_lossy()])?;
        }
        let runs = || Ok::<_, CommandError>(self.state()?.as_deref() == Some("running"));
        // launchd reports an error if the job has already started.
        if runs()? || self.launchctl(&["kickstart", &self.target()])?.0 || runs()? {
            return Ok(());
        }
        self.done(&["kickstart", &self.target()])
    }

    /// Unloads the job: a job with `KeepAlive` stops only in this way. launchd answers before the drain ends and has no
    /// event for its end.
    fn unload(&self) -> Result<(), CommandError> {
        let until = Instant::now() + Duration::from_secs(STOP_SECONDS + 10);
        if self.is_loaded()? {
            // `bootout` fails with "operation now in progress" while the job drains.
            let (_, said) = self.launchctl(&["bootout", &self.target()])?;
            while self.is_loaded()? {
                if Instant::now() > until {
                    let help = format!(
                        "see `launchctl print {}`; if a right is missing, run the command with sudo",
                        self.target()
                    );
                    return Err(CommandError::new(
                        Exit::Failed,
                        format!("launchctl bootout failed: {said}"),
                        help,
                    ));
                }
                moment();
            }
        }
        Ok(())
    }

    fn is_loaded(&self) -> Result<bool, CommandError> {
        Ok(self.state()?.is_some())
    }

    /// The state of a loaded job: `running`, `not running`, `spawn scheduled`.
    fn state(&self) -> Result<Option<String>, CommandError> {
        let (is_loaded, said) = self.launchctl(&["print", &self.target()])?;
        let state = said.lines().find_map(|line| line.trim().strip_prefix("state = "));
        Ok(is_loaded.then(|| state.unwrap_or("unknown").to_owned()))
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.plist", self.name))
    }

    fn target(&self) -> String {
        format!("{}/{}", self.domain, self.name)
    }

    fn launchctl(&self, arguments: &[&str]) -> Result<(bool, String), CommandError> {
        ask(Command::new(&self.launchctl).args(arguments))
    }

    fn done(&self, arguments: &[&str]) -> Result<(), CommandError> {
        let (is_done, said) = self.launchctl(arguments)?;
        if is_done {
            return Ok(());
        }
        let target = self.target();
        let help =
            format!("see `launchctl print {target}`; if a right is missing, run the command with sudo");
        Err(CommandError::new(Exit::Failed, format!("launchctl {} failed: {said}", arguments[0]), help))
    }

    fn property_list(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<String, CommandError> {
        if install.delayed {
            let help =
                "leave it out: launchd starts a job when it loads it, or with `--manual` at `service start`";
            return Err(CommandError::new(Exit::Usage, "--delayed is for Windows", help));
        }
        let mut environment = vec![("APP_ENV", "production".to_owned())];
        if let Some(file) = env_file {
            environment.push(("ENV_FILE", full_path(file)?));
        }
        let log = self.logs.join(format!("{}.log", self.name)).to_string_lossy().into_owned();
        let mut list = PropertyList::new(&identity.name);
        list.string("Label", &self.name);
        list.list("ProgramArguments", &[&program()?, "serve"]);
        list.strings("EnvironmentVariables", &environment);
        if !self.of_user {
            let user = install.user.as_deref().ok_or_else(|| {
                let help = "name a user without other rights with `--user`, or use `--user-level`";
                CommandError::new(
                    Exit::Usage,
                    "launchd would run the service as root: `--user` is missing",
                    help,
                )
            })?;
            list.string("UserName", safe("the user", user)?);
        }
        // A manual job starts only with `service start`; launchd still restarts it after a crash.
        if install.manual {
            list.raw("KeepAlive", "<dict><key>Crashed</key><true/></dict>");
        } else {
            list.raw("RunAtLoad", "<true/>");
            list.raw("KeepAlive", "<true/>");
        }
        list.integer("ThrottleInterval", install.restart_delay.as_secs().max(1));
        list.integer("ExitTimeOut", STOP_SECONDS);
        list.integer("Umask", 0o077);
        list.string("StandardErrorPath", &log);
        Ok(list.end())
    }
}

/// An XML property list.
struct PropertyList(String);

impl PropertyList {
    fn new(app: &str) -> Self {
        Self(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
             <!-- Written by `{} service install`. -->\n<plist version=\"1.0\">\n<dict>\n",
            escaped(app)
        ))
    }

    fn raw(&mut self, key: &str, value: &str) {
        writeln!(self.0, "    <key>{key}</key>\n    {value}").expect("a String takes every write");
    }

    fn string(&mut self, key: &str, value: &str) {
        self.raw(key, &format!("<string>{}</string>", escaped(value)));
    }

    fn integer(&mut self, key: &str, value: u64) {
        self.raw(key, &format!("<integer>{value}</integer>"));
    }

    fn list(&mut self, key: &str, values: &[&str]) {
        let values: String =
            values.iter().map(|value| format!("<string>{}</string>", escaped(value))).collect();
        self.raw(key, &format!("<array>{values}</array>"));
    }

    fn strings(&mut self, key: &str, values: &[(&str, String)]) {
        let entry =
            |(key, value): &(&str, String)| format!("<key>{key}</key><string>{}</string>", escaped(value));
        let values: String = values.iter().map(entry).collect();
        self.raw(key, &format!("<dict>{values}</dict>"));
    }

    fn end(self) -> String {
        self.0 + "</dict>\n</plist>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::cli::{self, Cli, Command};

    /// A fake launchctl that keeps each job as a file and writes its arguments to the file `calls`.
    const LAUNCHCTL: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> calls
name=$(basename "$2")
case $1 in
print)
    [ -e "loaded/$name" ] || { echo "Could not find service"; exit 113; }
    state=$(cat "loaded/$name")
    echo "    state = $state"
    if [ "$state" = draining ]; then rm "loaded/$name"; fi ;;
bootstrap)
    name=$(basename "$3" .plist)
    if grep -q RunAtLoad "$3"; then echo running; else echo "not running"; fi > "loaded/$name" ;;
kickstart) [ -e "loaded/$name" ] || exit 113; echo running > "loaded/$name" ;;
# Like launchd it answers before the job has ended.
bootout) echo draining > "loaded/$name"; echo "Operation now in progress"; exit 36 ;;
enable | disable) [ ! -e refuses ] || { echo "Operation not permitted"; exit 1; } ;;
*) exit 64 ;;
esac
"#;

    struct Mac(tempfile::TempDir);

    impl Mac {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("is made");
            let launchctl = folder.path().join("launchctl");
            fs::write(&launchctl, LAUNCHCTL).expect("is written");
            fs::set_permissions(&launchctl, fs::Permissions::from_mode(0o755)).expect("is executable");
            fs::create_dir(folder.path().join("loaded")).expect("is made");
            Self(folder)
        }

        fn service(&self, of_user: bool) -> Service {
            let at = |name| self.0.path().join(name);
            Service {
                name: "app".to_owned(),
                of_user,
                domain: if of_user { "gui/501" } else { "system" }.to_owned(),
                folder: at("jobs"),
                logs: at("logs"),
                launchctl: at("launchctl"),
            }
        }

        fn calls(&self) -> String {
            fs::read_to_string(self.0.path().join("calls")).unwrap_or_default()
        }
    }

    fn install(service: &Service, given: &[&str]) -> Result<Exit, CommandError> {
        let command = ["app", "service", "install"].iter().chain(given);
        let matches = Cli::command().version("0").get_matches_from(command);
        let cli = Cli::from_arg_matches(&matches).expect("is a command line");
        let Some(Command::Service(cli::Service::Install(install))) = cli.command else {
            panic!("is an install")
        };
        let identity = Identity { name: "app".to_owned(), version: "1.0.0".to_owned() };
        service.install(&identity, &install, Some(Path::new("/etc/a&b.env")))
    }

    #[test]
    fn a_job_is_installed_started_stopped_and_removed() {
        let mac = Mac::new();
        let service = mac.service(false);
        assert_eq!(service.status().expect("is shown"), Exit::Failed);
        for action in [Service::start, Service::stop, Service::restart] {
            let absent = action(&service).expect_err("is not installed");
            assert!(absent.help.contains("`service install` installs it"), "{absent:?}");
        }
        assert_eq!(install(&service, &["--user", "_app"]).expect("is installed"), Exit::Done);
        assert_eq!(install(&service, &["--user", "_app"]).expect("is there already"), Exit::Done);
        let edited = install(&service, &["--user", "_other"]).expect_err("is another definition");
        assert!(edited.message.contains("its text differs from this definition"), "{edited:?}");

        for action in [Service::start, Service::start, Service::restart] {
            assert_eq!(action(&service).expect("works"), Exit::Done);
            assert_eq!(service.status().expect("is shown"), Exit::Done);
        }
        for _ in 0..2 {
            assert_eq!(service.stop().expect("works"), Exit::Done);
            assert_eq!(service.status().expect("is shown"), Exit::Failed);
        }
        let calls = mac.calls();
        assert_eq!(calls.matches("bootstrap system ").count(), 2, "{calls}");
        assert_eq!(calls.matches("bootout system/app").count(), 2, "{calls}");
        assert!(!calls.contains("kickstart"), "loading starts the job: {calls}");
        for _ in 0..2 {
            assert_eq!(service.uninstall().expect("works"), Exit::Done);
        }
        assert!(!service.file().exists());
    }

    #[test]
    fn a_manual_job_starts_only_with_service_start() {
        let mac = Mac::new();
        let service = mac.service(true);
        install(&service, &["--user-level", "--manual"]).expect("is installed");
        service.start().expect("works");
        assert!(mac.calls().contains("kickstart gui/501/app"), "{}", mac.calls());
        assert_eq!(service.status().expect("is shown"), Exit::Done);
    }

    #[test]
    fn a_refused_install_leaves_nothing() {
        let mac = Mac::new();
        let service = mac.service(false);
        let root = install(&service, &[]).expect_err("would be root");
        assert_eq!(root.exit, Exit::Usage);
        assert_eq!(
            install(&service, &["--user", "a", "--delayed"]).expect_err("is for Windows").exit,
            Exit::Usage
        );
        fs::write(mac.0.path().join("refuses"), "").expect("is written");
        let refused = install(&service, &["--user", "a"]).expect_err("is not permitted");
        assert!(refused.message.contains("Operation not permitted"), "{refused:?}");
        assert!(!service.file().exists());
        fs::write(mac.0.path().join("loaded/app"), "running\n").expect("is written");
        let taken = install(&service, &["--user", "a"]).expect_err("the name is taken");
        assert!(taken.message.contains("belongs to another service"), "{taken:?}");
    }

    #[test]
    fn the_property_list_has_the_keys_of_launchd() {
        let mac = Mac::new();
        let service = mac.service(false);
        install(&service, &["--user", "_app", "--restart-delay", "5s"]).expect("is installed");
        let text = fs::read_to_string(service.file()).expect("is there");
        for part in [
            "<key>Label</key>\n    <string>app</string>",
            "<key>UserName</key>\n    <string>_app</string>",
            "<string>serve</string></array>",
            "<key>APP_ENV</key><string>production</string><key>ENV_FILE</key><string>/etc/a&amp;b.env</string>",
            "<key>KeepAlive</key>\n    <true/>",
            "<key>ThrottleInterval</key>\n    <integer>5</integer>",
            "<key>ExitTimeOut</key>\n    <integer>90</integer>",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }
}
