//! The app under a systemd that the test starts, as process 1 of its own namespaces.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::support::{Database, Queue, Running, Said, arguments, production, run, send};

/// The hierarchy in which systemd keeps its services, if the system has the first version of control groups.
const GROUPS: &str = "/sys/fs/cgroup/systemd";

/// Whether this user may make namespaces, mount the file systems of a system in them, and make a control group.
pub(crate) fn can_be_had() -> bool {
    let mounts = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir proc sys group && \
                  mount -t proc proc proc && mount -t sysfs -o ro sysfs sys && \
                  mount -t cgroup -o none,name=systemd cgroup group";
    let unshare = ["--mount", "--pid", "--fork", "--ipc", "--uts", "--cgroup", "sh", "-c", mounts];
    let mounted = Command::new("unshare").args(unshare).output().is_ok_and(|output| output.status.success());
    let group = Path::new(GROUPS).join(format!("onward-probe-{}", std::process::id()));
    let has_group = std::fs::create_dir(&group).and_then(|()| std::fs::remove_dir(&group)).is_ok();
    mounted && has_group && Path::new("/lib/systemd/systemd").exists()
}

/// The first process of the namespaces that `unshare` has made.
fn first_process(unshare: &Running) -> String {
    let id = unshare.child.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    children.expect("it runs").trim().to_owned()
}

/// A running systemd; it ends with the test.
struct Systemd {
    running: Option<Running>,
    pid: String,
    group: PathBuf,
    _root: tempfile::TempDir,
    /// `/opt/app` in there.
    folder: tempfile::TempDir,
}

impl Systemd {
    fn start() -> Self {
        let (root, folder) = (tempfile::tempdir().expect("is made"), tempfile::tempdir().expect("is made"));
        let group = Path::new(GROUPS).join(format!("onward-test-{}", std::process::id()));
        std::fs::create_dir(&group).expect("root makes control groups");
        std::fs::copy(env!("CARGO_BIN_EXE_app"), folder.path().join("app")).expect("is copied");
        let ready = UnixDatagram::bind(folder.path().join("ready")).expect("is writable");
        ready.set_read_timeout(Some(Duration::from_secs(60))).expect("is positive");
        // The unit's user is not root.
        let open = Command::new("chmod").args(["755"]).arg(folder.path()).status();
        assert!(open.is_ok_and(|status| status.success()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/root.sh");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\"/cgroup.procs; exec \"$@\""]).arg(&group);
        command.args([
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--ipc",
            "--uts",
            "--cgroup",
            "sh",
        ]);
        command.arg(script).arg(root.path()).arg(folder.path());
        let running = Running::start(&mut command);
        let mut message = [0; 1024];
        while !String::from_utf8_lossy(&message).contains("READY=1") {
            message.fill(0);
            ready.recv(&mut message).expect("systemd says when it has started");
        }
        let pid = first_process(&running);
        Self { running: Some(running), pid, group, _root: root, folder }
    }

    fn command(&self, given: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target", &self.pid, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd",
        ]);
        arguments(command, given)
    }

    fn run(&self, given: &[&str]) -> Said {
        run(&mut self.command(given))
    }

    /// Runs a command that must succeed, and returns its output.
    fn done(&self, given: &[&str]) -> String {
        let said = self.run(given);
        assert_eq!(said.code, Some(0), "{given:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    fn property(&self, name: &str) -> String {
        self.done(&["systemctl", "show", "app", "--value", "--property", name]).trim().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("is written");
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // When the first process of the namespace ends, all of its processes end; then the groups are empty.
        send("-KILL", &self.pid);
        self.running.take().map(Running::end);
        let removed =
            Command::new("find").arg(&self.group).args(["-depth", "-type", "d", "-delete"]).status();
        assert!(removed.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// The kernel sends process 1 of a container only signals for which it has a handler.
pub(crate) fn process_1_of_a_container_hears_its_signals() -> Result<(), Failed> {
    let (database, queue) = (Database::create(), Queue::create());
    let migrated = run(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let app = production(&database.url, &queue.url);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(app.get_program()).arg("serve");
    command.envs(app.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut serving = Running::start(command.env("HTTP_ADDR", "127.0.0.1:0"));
    serving.wait_for("serving");
    send("-TERM", &first_process(&serving));
    let (status, log) = serving.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("0 abandoned"), "{log}");
    Ok(())
}

const APP: &str = "/opt/app/app";

pub(crate) fn a_service_from_its_installation_to_its_end() -> Result<(), Failed> {
    let (database, queue) = (Database::create(), Queue::create());
    let migrated = run(&mut arguments(production(&database.url, &queue.url), ["migrate"]));
    assert_eq!(migrated.code, Some(0), "{}", migrated.stderr);
    let systemd = Systemd::start();
    let environment = |queue: &str| {
        format!(
            "DATABASE_URL={}\nQUEUE_URL={queue}\nHTTP_ADDR=127.0.0.1:0\nAWS_ACCESS_KEY_ID=test\nAWS_SECRET_ACCESS_KEY=test\n\
             RUST_LOG_FILE=/opt/app/levels\n",
            database.url
        )
    };
    systemd.write("levels", "info\n");
    systemd.write("app.env", &environment(&queue.url));

    let absent = systemd.run(&[APP, "service", "start"]);
    assert_eq!(absent.code, Some(1), "{}", absent.stderr);
    assert!(absent.stderr.contains("`service install` installs it"), "{}", absent.stderr);
    let taken = systemd.run(&[APP, "service", "install", "--name", "systemd-journald"]);
    assert!(
        taken.stderr.contains("the name systemd-journald belongs to another service"),
        "{}",
        taken.stderr
    );
    let install = [APP, "service", "install", "--env-file", "/opt/app/app.env"];
    assert!(systemd.done(&install).contains("is installed: /etc/systemd/system/app.service"));
    assert!(systemd.done(&install).contains("is installed already"));
    assert_eq!(systemd.done(&["systemctl", "is-enabled", "app"]).trim(), "enabled");

    // An operator may want to wait less for a worker that hangs.
    let soon = "mkdir /etc/systemd/system/app.service.d && printf '[Service]\\nWatchdogSec=3\\nTimeoutAbortSec=1\\n' > \
                /etc/systemd/system/app.service.d/soon.conf && systemctl daemon-reload";
    systemd.done(&["sh", "-c", soon]);
    let mut log = Running::start(&mut systemd.command(&[
        "journalctl",
        "--follow",
        "--lines=all",
        "--output=cat",
        "--unit=app",
    ]));
    assert!(systemd.done(&[APP, "service", "start"]).contains("app started"));
    assert!(systemd.done(&[APP, "service", "start"]).contains("app runs already"));
    systemd.done(&[APP, "service", "status"]);
    log.wait_for("\"serving\"");

    for (signal, restarts) in [("KILL", "1"), ("STOP", "2")] {
        systemd.done(&["systemctl", "kill", "--signal", signal, "app"]);
        log.wait_for("\"serving\"");
        assert_eq!(systemd.property("NRestarts"), restarts, "after SIG{signal}");
    }
    systemd.done(&["systemctl", "reload", "app"]);
    log.wait_for("the log levels were read again");
    assert!(systemd.done(&[APP, "service", "stop"]).contains("app stopped"));
    log.wait_for("0 abandoned");
    assert_eq!(
        (systemd.property("Result"), systemd.property("ExecMainStatus")),
        ("success".into(), "0".into())
    );
    assert!(systemd.done(&[APP, "service", "stop"]).contains("does not run"));
    assert_eq!(systemd.run(&[APP, "service", "status"]).code, Some(1));

    // Another start does not correct a wrong configuration.
    systemd.write("app.env", &environment(""));
    assert_eq!(systemd.run(&[APP, "service", "start"]).code, Some(1));
    log.wait_for("QUEUE_URL is not set");
    assert_eq!((systemd.property("NRestarts"), systemd.property("ExecMainStatus")), ("0".into(), "3".into()));
    assert_eq!(systemd.property("ActiveState"), "failed");

    assert!(systemd.done(&[APP, "service", "uninstall"]).contains("is uninstalled"));
    assert!(systemd.done(&[APP, "service", "uninstall"]).contains("is not installed"));
    Ok(())
}
