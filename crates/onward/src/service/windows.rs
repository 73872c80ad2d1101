//! A service under the Windows service control manager.
//! <https://learn.microsoft.com/en-us/windows/win32/services/service-control-manager>

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

use windows_service::Error;
use windows_service::service::{
    ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::{STOP_SECONDS, full_path, moment, program, report, safe};
use crate::cli::Install;
use crate::config::identity::Identity;
use crate::process::exit::{CommandError, Exit};
use crate::process::scm::reason;
use crate::process::terminal::data;
use crate::telemetry::log::log_folder;

/// <https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes>
const ACCESS_DENIED: i32 = 5;
const ALREADY_RUNNING: i32 = 1056;
const INVALID_ACCOUNT: i32 = 1057;
const DOES_NOT_EXIST: i32 = 1060;
const NOT_ACTIVE: i32 = 1062;
const MARKED_FOR_DELETE: i32 = 1072;

/// A service by its name.
pub(super) struct Service {
    name: String,
}

impl Service {
    pub(super) fn of(name: String, of_user: bool) -> Result<Self, CommandError> {
        if of_user {
            let help = "leave `--user-level` out; the service runs as a virtual account of its own";
            return Err(CommandError::new(Exit::Usage, "Windows has no user-level services", help));
        }
        Ok(Self { name })
    }

    pub(super) fn install(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<Exit, CommandError> {
        let wanted = self.info(identity, install, env_file)?;
        let failure = ServiceFailureActions {
            reset_period: ServiceFailureResetPeriod::After(install.reset_after),
            reboot_msg: None,
            command: None,
            actions: Some(vec![
                ServiceAction {
                    action_type: ServiceActionType::Restart,
                    delay: install.restart_delay
                };
                3
            ]),
        };
        if install.print {
            return shown(&wanted, install);
        }
        match self.open(ServiceAccess::QUERY_CONFIG) {
            Ok(there) => {
                let there = there.query_config().map_err(|error| self.failed("read", &error))?;
                if there.executable_path.to_string_lossy() == command_line(&wanted)
                    && there.start_type == wanted.start_type
                {
                    return report(&self.name, "is installed already");
                }
                let message = format!("the service {} exists, and differs from this definition", self.name);
                let help = "compare it with `service install --print`; remove it with `service uninstall`, \
                            or choose another name with `--instance`";
                return Err(CommandError::new(Exit::Failed, message, help));
            }
            Err(error) if code(&error) == Some(DOES_NOT_EXIST) => {}
            Err(error) => return Err(self.failed("found", &error)),
        }
        let manager = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::DELETE;
        let service = ServiceManager::local_computer(None::<&OsStr>, manager)
            .and_then(|manager| manager.create_service(&wanted, access))
            .map_err(|error| self.failed("installed", &error))?;
        let completed = service
            .set_description(format!("{} {}: works its queue", identity.name, identity.version))
            .and_then(|()| service.update_failure_actions(failure))
            // Windows starts the service again after an exit with an error too, not only after a crash.
            .and_then(|()| service.set_failure_actions_on_non_crash_failures(true))
            .and_then(|()| service.set_preshutdown_timeout(Duration::from_secs(STOP_SECONDS)))
            .and_then(|()| if install.delayed { service.set_delayed_auto_start(true) } else { Ok(()) });
        if let Err(error) = completed {
            // Removes the incomplete service.
            let _ = service.delete();
            return Err(self.failed("installed", &error));
        }
        report(&self.name, &format!("is installed; its log is in {}", log_folder(&self.name).display()))
    }

    pub(super) fn uninstall(&self) -> Result<Exit, CommandError> {
        let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
        let service = match self.open(access) {
            Err(error) if code(&error) == Some(DOES_NOT_EXIST) => {
                return report(&self.name, "is not installed");
            }
            opened => opened.map_err(|error| self.failed("opened", &error))?,
        };
        self.end(&service)?;
        service.delete().map_err(|error| self.failed("removed", &error))?;
        report(&self.name, "is uninstalled")
    }

    pub(super) fn start(&self) -> Result<Exit, CommandError> {
        let service = self.opened(ServiceAccess::QUERY_STATUS | ServiceAccess::START)?;
        self.begin(&service)
    }

    pub(super) fn stop(&self) -> Result<Exit, CommandError> {
        let service = self.opened(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP)?;
        let stopped = self.end(&service)?;
        report(&self.name, if stopped { "stopped" } else { "does not run" })
    }

    pub(super) fn restart(&self) -> Result<Exit, CommandError> {
        let access = ServiceAccess::QUERY_STATUS | ServiceAccess::START | ServiceAccess::STOP;
        let service = self.opened(access)?;
        self.end(&service)?;
        self.begin(&service)
    }

    pub(super) fn status(&self) -> Result<Exit, CommandError> {
        let service = self.opened(ServiceAccess::QUERY_STATUS)?;
        let status = service.query_status().map_err(|error| self.failed("queried", &error))?;
        data(&format!("{}  {:?}, last exit {:?}", self.name, status.current_state, status.exit_code))?;
        Ok(if status.current_state == ServiceState::Running { Exit::Done } else { Exit::Failed })
    }

    fn begin(&self, service: &windows_service::service::Service) -> Result<Exit, CommandError> {
        match service.start::<&OsStr>(&[]) {
            Err(error) if code(&error) == Some(ALREADY_RUNNING) => return report(&self.name, "runs already"),
            started => started.map_err(|error| self.failed("started", &error))?,
        }
        match self.settled(service, &[ServiceState::StartPending])? {
            ServiceState::Running => report(&self.name, "started"),
            state => {
                let message = format!("{} did not start: it is {state:?}", self.name);
                let help = format!(
                    "see its log in {}; if there is no log yet, `service run --name {}` in a console shows \
                     the error",
                    log_folder(&self.name).display(),
                    self.name
                );
                Err(CommandError::new(Exit::Failed, message, help))
            }
        }
    }

    /// Stops the service and waits for the end of its drain. Returns whether it ran.
    fn end(&self, service: &windows_service::service::Service) -> Result<bool, CommandError> {
        match service.stop() {
            Err(error) if code(&error) == Some(NOT_ACTIVE) => return Ok(false),
            Err(error) => return Err(self.failed("stopped", &error)),
            Ok(_) => {}
        }
        match self.settled(service, &[ServiceState::Running, ServiceState::StopPending])? {
            ServiceState::Stopped => Ok(true),
            state => Err(CommandError::new(
                Exit::Failed,
                format!("{} does not stop: it is {state:?}", self.name),
                "see its log",
            )),
        }
    }

    /// Waits until the service has left the `passing` states, and returns its state. Windows has no event for that.
    /// <https://learn.microsoft.com/en-us/windows/win32/services/stopping-a-service>
    fn settled(
        &self,
        service: &windows_service::service::Service,
        passing: &[ServiceState],
    ) -> Result<ServiceState, CommandError> {
        let until = Instant::now() + Duration::from_secs(STOP_SECONDS + 10);
        loop {
            let status = service.query_status().map_err(|error| self.failed("queried", &error))?;
            if !passing.contains(&status.current_state) || Instant::now() > until {
                return Ok(status.current_state);
            }
            moment();
        }
    }

    fn open(&self, access: ServiceAccess) -> windows_service::Result<windows_service::service::Service> {
        ServiceManager::local_computer(None::<&OsStr>, ServiceManagerAccess::CONNECT)?
            .open_service(&self.name, access)
    }

    fn opened(&self, access: ServiceAccess) -> Result<windows_service::service::Service, CommandError> {
        self.open(access).map_err(|error| self.failed("opened", &error))
    }

    fn failed(&self, what: &str, error: &Error) -> CommandError {
        let help = match code(error) {
            Some(ACCESS_DENIED) => "run it in a terminal that was opened with \"Run as administrator\"",
            Some(DOES_NOT_EXIST) => "`service install` installs it",
            Some(INVALID_ACCOUNT) => {
                "name an account without a password, such as a group-managed one; set an account with a \
                 password in services.msc"
            }
            Some(MARKED_FOR_DELETE) => {
                "Windows still removes it: close services.msc and all programs that show it, then try again"
            }
            _ => "see the message",
        };
        let reason = reason(error);
        CommandError::new(
            Exit::Failed,
            format!("the service {} could not be {what}: {reason}", self.name),
            help,
        )
    }

    fn info(
        &self,
        identity: &Identity,
        install: &Install,
        env_file: Option<&Path>,
    ) -> Result<ServiceInfo, CommandError> {
        let mut launch_arguments: Vec<OsString> =
            ["service", "run", "--name", &self.name].map(OsString::from).into();
        if let Some(file) = env_file {
            launch_arguments.extend(["--env-file".into(), full_path(file)?.into()]);
        }
        let start_type = if install.disabled {
            ServiceStartType::Disabled
        } else if install.manual {
            ServiceStartType::OnDemand
        } else {
            ServiceStartType::AutoStart
        };
        let account = match &install.user {
            Some(user) => safe("the user", user)?.to_owned(),
            // A virtual account of its own, without a password and without rights.
            // <https://learn.microsoft.com/en-us/windows-server/identity/ad-ds/manage/understand-service-accounts>
            None => format!(r"NT SERVICE\{}", self.name),
        };
        Ok(ServiceInfo {
            name: self.name.clone().into(),
            display_name: format!("{} ({})", self.name, identity.name).into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type,
            error_control: ServiceErrorControl::Normal,
            executable_path: program()?.into(),
            launch_arguments,
            dependencies: Vec::new(),
            account_name: Some(account.into()),
            account_password: None,
        })
    }
}

fn code(error: &Error) -> Option<i32> {
    match error {
        Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

/// The command line as the manager stores it. No part of it contains a quote.
fn command_line(info: &ServiceInfo) -> String {
    let parts = std::iter::once(info.executable_path.as_os_str())
        .chain(info.launch_arguments.iter().map(OsString::as_os_str));
    let quoted = parts.map(|part| match part.to_string_lossy() {
        part if part.contains([' ', '\t']) => format!("\"{part}\""),
        part => part.into_owned(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn shown(info: &ServiceInfo, install: &Install) -> Result<Exit, CommandError> {
    let start =
        if install.delayed { "AutoStart, delayed".to_owned() } else { format!("{:?}", info.start_type) };
    data(&format!(
        "name       {}\ncommand    {}\naccount    {}\nstart      {start}\n\
         a failure  leads to a new start after {:?}; {:?} without a failure resets the count of failures\n\
         shutdown   waits for {STOP_SECONDS} s",
        info.name.to_string_lossy(),
        command_line(info),
        info.account_name.as_deref().unwrap_or_default().to_string_lossy(),
        install.restart_delay,
        install.reset_after,
    ))?;
    Ok(Exit::Done)
}
