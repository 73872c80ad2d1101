use std::io::{self, IsTerminal as _};

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::command::migrate::Identity;
use crate::exit::{Exit, Failed};
use crate::settings::AppEnv;

/// Our own events, and of the libraries only what somebody must see.
const DEFAULT_FILTER: &str = "warn,app=info,onward=info,onward_worker=info,onward_migrate=info";

/// What is logged, which can be changed while the app runs.
#[derive(Debug, Clone)]
pub(crate) struct LogLevels {
    filter: reload::Handle<EnvFilter, Registry>,
    default: String,
}

impl LogLevels {
    /// Reads them again. What cannot be understood changes nothing.
    pub(crate) fn reload(&self) {
        let reloaded = filter(&self.default)
            .and_then(|filter| self.filter.reload(filter).map_err(|error| reason("RUST_LOG", &error)));
        match reloaded {
            Ok(()) => tracing::info!("the log levels were read again"),
            Err(failed) => tracing::error!(reason = %failed.message, "the log levels stay as they are"),
        }
    }
}

/// What the app says of itself while it runs.
pub(crate) struct Telemetry {
    pub levels: LogLevels,
    #[cfg(feature = "otel")]
    exporters: crate::otel::Exporters,
}

impl Telemetry {
    /// Sends what has not been sent yet.
    pub(crate) fn end(&self) {
        #[cfg(feature = "otel")]
        self.exporters.end();
    }
}

/// Sends the log to stderr, and that of a service without one to its files: text for a person, JSON for a log collector.
/// What serves also exports traces and metrics, if it is built for that and told where to.
pub(crate) fn start(
    env: AppEnv,
    identity: &Identity,
    service: Option<&str>,
    serves: bool,
) -> Result<Telemetry, Failed> {
    let default = format!("{DEFAULT_FILTER},{}=info", identity.name.replace('-', "_"));
    let (filter, handle) = reload::Layer::new(filter(&default)?);
    #[cfg(feature = "otel")]
    let exporters = if serves { crate::otel::Exporters::open(identity)? } else { Default::default() };
    #[cfg(not(feature = "otel"))]
    let _ = serves;
    let terminal = io::stderr().is_terminal();
    let log = fmt::layer().with_writer(writer(service)?);
    let log = if env == AppEnv::Production && !terminal {
        log.json().flatten_event(true).boxed()
    } else {
        log.with_ansi(terminal).with_target(false).boxed()
    };
    let subscriber = tracing_subscriber::registry().with(log.with_filter(filter));
    #[cfg(feature = "otel")]
    let subscriber = subscriber.with(exporters.layer());
    let started = subscriber.try_init();
    started.map_err(|error| Failed::new(Exit::Failed, error, "the app starts its log only once"))?;
    Ok(Telemetry {
        levels: LogLevels { filter: handle, default },
        #[cfg(feature = "otel")]
        exporters,
    })
}

#[cfg(windows)]
fn writer(service: Option<&str>) -> Result<BoxMakeWriter, Failed> {
    let Some(service) = service else { return Ok(BoxMakeWriter::new(io::stderr)) };
    let folder = crate::command::service::windows::log_folder(service);
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_suffix("log")
        .max_log_files(14)
        .build(&folder);
    files.map(BoxMakeWriter::new).map_err(|error| {
        let help = "give the service's account the right to write there";
        Failed::new(Exit::Configuration, format!("no log in {}: {error}", folder.display()), help)
    })
}

#[cfg(not(windows))]
fn writer(_: Option<&str>) -> Result<BoxMakeWriter, Failed> {
    Ok(BoxMakeWriter::new(io::stderr))
}

/// What the file says that `RUST_LOG_FILE` names, or else `RUST_LOG`.
fn filter(default: &str) -> Result<EnvFilter, Failed> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let (name, directives) = match set("RUST_LOG_FILE") {
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                let help = "create it with the text of a RUST_LOG, or do not set RUST_LOG_FILE";
                Failed::new(
                    Exit::Configuration,
                    format!("{path} (RUST_LOG_FILE) cannot be read: {error}"),
                    help,
                )
            })?;
            (path, Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
        }
        None => ("RUST_LOG".to_owned(), set("RUST_LOG")),
    };
    let directives = directives.unwrap_or_else(|| default.to_owned());
    // tiberius logs each error of the server as one of its own, those too that are an answer, such as a duplicate key.
    let mut quiet = String::new();
    if !directives.contains("tiberius") {
        quiet.push_str(",tiberius=off");
    }
    #[cfg(feature = "otel")]
    quiet.push_str(&format!(",{}=off", crate::otel::TARGET));
    EnvFilter::try_new(format!("{directives}{quiet}")).map_err(|error| reason(&name, &error))
}

fn reason(name: &str, error: &dyn std::error::Error) -> Failed {
    let help = "write it as `info` or `warn,onward=debug`";
    Failed::new(Exit::Configuration, format!("{name} is not understood: {error}"), help)
}
