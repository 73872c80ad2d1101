//! The app under the Windows service control manager: the controls that it gets, and the states that it reports.
//! <https://learn.microsoft.com/en-us/windows/win32/services/service-status-transitions>

use std::ffi::OsString;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use crate::process::exit::{CommandError, Exit};

/// The work of the service, until its end.
pub(crate) type Body = Box<dyn FnOnce() -> Result<Exit, CommandError> + Send>;

/// How long the gate and the set-up may take.
const START: Duration = Duration::from_secs(120);

// The manager calls a plain function, so these statics hold what the function needs.
static SERVICE: Mutex<Option<(String, Body)>> = Mutex::new(None);
static OUTCOME: Mutex<Option<Result<Exit, CommandError>>> = Mutex::new(None);
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
static STOP: Notify = Notify::const_new();
static RELOAD: Notify = Notify::const_new();

define_windows_service!(called_by_the_system, service_main);

/// Runs as the service that the manager has started, and returns when it has stopped.
pub(crate) fn run(name: &str, body: Body) -> Result<Exit, CommandError> {
    *SERVICE.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), body));
    service_dispatcher::start(name, called_by_the_system).map_err(|error| {
        let help = "only the service manager runs this command: use `service install`, then `service start`; \
                    in a console use `serve`";
        let message = format!("the service manager did not start this process: {}", reason(&error));
        CommandError::new(Exit::Usage, message, help)
    })?;
    let outcome = OUTCOME.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome.unwrap_or(Ok(Exit::Failed))
}

fn service_main(_: Vec<OsString>) {
    let Some((name, body)) = SERVICE.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let control = |control| match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            STOP.notify_one();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::ParamChange => {
            RELOAD.notify_one();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let outcome = match service_control_handler::register(&name, control) {
        Ok(status) => {
            let _ = STATUS.set(status);
            report(ServiceState::StartPending, START, ServiceExitCode::NO_ERROR);
            body()
        }
        Err(error) => Err(CommandError::new(
            Exit::Failed,
            format!("the service manager refuses the control handler: {}", reason(&error)),
            "see the message",
        )),
    };
    let exit = match &outcome {
        Ok(exit) => *exit,
        Err(failed) => {
            tracing::error!(reason = %failed.message, "the service ends");
            failed.exit
        }
    };
    *OUTCOME.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    let code = match exit {
        Exit::Done => ServiceExitCode::NO_ERROR,
        exit => ServiceExitCode::ServiceSpecific(exit as u32),
    };
    report(ServiceState::Stopped, Duration::ZERO, code);
}

/// The system's text for an error.
pub(crate) fn reason(error: &windows_service::Error) -> String {
    match error {
        windows_service::Error::Winapi(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Reports that the service runs.
pub(crate) fn ready() {
    report(ServiceState::Running, Duration::ZERO, ServiceExitCode::NO_ERROR);
}

/// Reports that the service stops within a time.
pub(crate) fn stopping(within: Duration) {
    report(ServiceState::StopPending, within, ServiceExitCode::NO_ERROR);
}

fn report(state: ServiceState, wait_hint: Duration, exit_code: ServiceExitCode) {
    let Some(status) = STATUS.get() else { return };
    let pending = matches!(state, ServiceState::StartPending | ServiceState::StopPending);
    let controls_accepted = match state {
        ServiceState::Running => {
            ServiceControlAccept::STOP
                | ServiceControlAccept::PRESHUTDOWN
                | ServiceControlAccept::PARAM_CHANGE
        }
        _ => ServiceControlAccept::empty(),
    };
    let reported = status.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: u32::from(pending),
        wait_hint,
        process_id: None,
    });
    if let Err(error) = reported {
        tracing::warn!(
            error = reason(&error),
            "the state of the service could not be reported to the service manager"
        );
    }
}

/// Completes when the manager asks the service to stop; never in a console.
pub(crate) async fn stop_requested() {
    STOP.notified().await;
}

/// Completes when the manager reports changed parameters; never in a console.
pub(crate) async fn reload_requested() {
    RELOAD.notified().await;
}
