use std::io::{self, IsTerminal as _};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{FormatFields, Writer, debug_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

#[cfg(feature = "console")]
pub(crate) use super::lines::LogLines;
use crate::config::identity::Identity;
use crate::config::settings::AppEnv;
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::printable;
#[cfg(feature = "otel")]
use crate::telemetry::otel;

/// The events of Onward and of the app, and the warnings of all libraries.
const DEFAULT_FILTER: &str = "warn,app=info,onward=info,onward_worker=info,onward_migrate=info";

/// The log levels, which can be changed while the app runs.
#[derive(Debug, Clone)]
pub(crate) struct LogLevels {
    filter: reload::Handle<EnvFilter, Registry>,
    default: String,
}

impl LogLevels {
    /// Reads the log levels again. A text with an error changes nothing.
    pub(crate) fn reload(&self) {
        let reloaded = filter(&self.default)
            .and_then(|filter| self.filter.reload(filter).map_err(|error| wrong_levels("RUST_LOG", &error)));
        match reloaded {
            Ok(()) => tracing::info!("the log levels were read again"),
            Err(error) => tracing::error!(reason = %error.message, "the log levels stay as they are"),
        }
    }
}

/// The log as a page shows it.
#[derive(Debug, Clone)]
pub(crate) struct LogView {
    pub levels: LogLevels,
    /// The last lines; only a development launch keeps them.
    #[cfg(feature = "console")]
    pub lines: Option<LogLines>,
}

#[cfg(feature = "console")]
impl LogView {
    /// The levels in the form of `RUST_LOG`.
    pub(crate) fn levels(&self) -> String {
        self.levels.filter.with_current(ToString::to_string).unwrap_or_else(|error| error.to_string())
    }
}

/// The log and the exporters of the app.
pub(crate) struct Telemetry {
    view: LogView,
    #[cfg(feature = "otel")]
    exporters: otel::Exporters,
}

impl Telemetry {
    pub(crate) fn view(&self) -> LogView {
        self.view.clone()
    }

    /// Sends the traces and metrics that still wait.
    pub(crate) fn end(&self) {
        #[cfg(feature = "otel")]
        self.exporters.end();
    }
}

/// Sends the log to stderr, or to files for a service that has no stderr: text for a person, JSON for a log collector. A
/// process that serves also exports traces and metrics, if it has the feature `otel` and a variable names the collector.
pub(crate) fn start(
    env: AppEnv,
    identity: &Identity,
    service: Option<&str>,
    serves: bool,
) -> Result<Telemetry, CommandError> {
    let default = format!("{DEFAULT_FILTER},{}=info", identity.name.replace('-', "_"));
    let (filter, handle) = reload::Layer::new(filter(&default)?);
    #[cfg(feature = "otel")]
    let exporters = if serves { otel::Exporters::open(identity)? } else { Default::default() };
    let terminal = io::stderr().is_terminal();
    let log = fmt::layer().with_writer(writer(service)?);
    let log = if env == AppEnv::Production && !terminal {
        log.json().flatten_event(true).boxed()
    } else {
        log.fmt_fields(fields()).with_ansi(terminal).with_target(false).boxed()
    };
    #[cfg(feature = "console")]
    let lines = (serves && env == AppEnv::Development).then(LogLines::default);
    #[cfg(feature = "console")]
    let log = log.and_then(lines.clone().map(|lines| {
        fmt::layer().fmt_fields(fields()).with_writer(lines).with_ansi(false).with_target(false)
    }));
    #[cfg(not(any(feature = "console", feature = "otel")))]
    let _ = serves;
    let subscriber = tracing_subscriber::registry().with(log.with_filter(filter));
    #[cfg(feature = "otel")]
    let subscriber = subscriber.with(exporters.layer());
    let started = subscriber.try_init();
    started.map_err(|error| CommandError::new(Exit::Failed, error, "start only one app in a process"))?;
    Ok(Telemetry {
        view: LogView {
            levels: LogLevels { filter: handle, default },
            #[cfg(feature = "console")]
            lines,
        },
        #[cfg(feature = "otel")]
        exporters,
    })
}

/// The fields of an event in its one line. What a message or a server says could else write lines of its own, or move the cursor of a
/// terminal.
fn fields() -> impl for<'writer> FormatFields<'writer> {
    fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn std::fmt::Debug) -> std::fmt::Result {
        let text = format!("{value:?}");
        let (name, text) = (field.name(), printable(&text));
        match (name, writer.has_ansi_escapes()) {
            ("message", _) => write!(writer, "{text}"),
            // Of the events of the crate `log`.
            (name, _) if name.starts_with("log.") => Ok(()),
            (_, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{text}"),
            (_, false) => write!(writer, "{name}={text}"),
        }
    }
    debug_fn(field).delimited(" ")
}

/// The folder for the log of a Windows service, which has no console.
#[cfg(windows)]
pub(crate) fn log_folder(service: &str) -> std::path::PathBuf {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    std::path::PathBuf::from(data).join(service).join("logs")
}

#[cfg(windows)]
fn writer(service: Option<&str>) -> Result<BoxMakeWriter, CommandError> {
    let Some(service) = service else { return Ok(BoxMakeWriter::new(io::stderr)) };
    let folder = log_folder(service);
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_suffix("log")
        .max_log_files(14)
        .build(&folder);
    files.map(BoxMakeWriter::new).map_err(|error| {
        let help = "give the service's account the right to write there";
        let message = format!("the log in {} cannot be written: {error}", folder.display());
        CommandError::new(Exit::Configuration, message, help)
    })
}

#[cfg(not(windows))]
fn writer(_: Option<&str>) -> Result<BoxMakeWriter, CommandError> {
    Ok(BoxMakeWriter::new(io::stderr))
}

/// Reads the log levels from the file that `RUST_LOG_FILE` names, or else from `RUST_LOG`.
fn filter(default: &str) -> Result<EnvFilter, CommandError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let (name, directives) = match set("RUST_LOG_FILE") {
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                let help = "create it with the text of a RUST_LOG, or unset RUST_LOG_FILE";
                CommandError::new(
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
    // tiberius logs every error of the server, even an expected one such as a duplicate key.
    let mut quiet = String::new();
    if !directives.contains("tiberius") {
        quiet.push_str(",tiberius=off");
    }
    #[cfg(feature = "otel")]
    quiet.push_str(&format!(",{}=off", otel::TARGET));
    EnvFilter::try_new(format!("{directives}{quiet}")).map_err(|error| wrong_levels(&name, &error))
}

fn wrong_levels(name: &str, error: &dyn std::error::Error) -> CommandError {
    let help = "write it as `info` or `warn,onward=debug`";
    CommandError::new(Exit::Configuration, format!("{name} cannot be read as log levels: {error}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let file = tempfile::NamedTempFile::new().expect("is made");
        let written = std::sync::Arc::new(file.reopen().expect("is open"));
        let layer = fmt::layer().fmt_fields(fields()).with_writer(written);
        let subscriber =
            tracing_subscriber::registry().with(layer.with_ansi(false).without_time().with_target(false));
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("message", id = "a\nb", attempt = 1).entered();
            tracing::error!(reason = %"no\nERROR forged\u{1b}[2J", "it failed");
        });
        let written = std::fs::read_to_string(file.path()).expect("is text");
        assert_eq!(
            written,
            "ERROR message{id=\"a\\nb\" attempt=1}: it failed reason=no\\nERROR forged\\u{1b}[2J\n"
        );
    }
}
