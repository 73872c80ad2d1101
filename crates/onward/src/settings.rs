use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::Globals;
use crate::exit::{Exit, Failed};

/// Where the app runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppEnv {
    /// A developer's machine: what is missing is started, the schema is upgraded at launch.
    Development,
    /// Anywhere else: nothing happens that was not asked for.
    Production,
}

impl FromStr for AppEnv {
    type Err = Failed;

    fn from_str(word: &str) -> Result<Self, Failed> {
        match word {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err(Failed::new(
                Exit::Configuration,
                format!("APP_ENV is `{word}`"),
                "set it to `development` or `production`, or not at all",
            )),
        }
    }
}

/// What was configured: flag over environment over the file of `--env-file` over, in development, `.env`.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub env: AppEnv,
    /// It may hold a password and is never shown.
    pub database_url: Option<String>,
    pub queue_url: Option<String>,
    /// Where health and metrics are served.
    pub http_addr: Option<String>,
    /// The file that has been added to the environment.
    pub env_file: Option<PathBuf>,
    /// Where each of them came from, if it is set.
    pub origins: Vec<(&'static str, Option<String>)>,
    /// The project's folder, for `sql/` and `.onward/`.
    #[cfg(feature = "local")]
    pub project: PathBuf,
}

/// The variables that say where the app works.
const PLACES: [&str; 3] = ["DATABASE_URL", "QUEUE_URL", "HTTP_ADDR"];

/// Where we are, and which of the places each source has named, the strongest first.
pub(crate) struct Environment {
    pub env: AppEnv,
    sources: Vec<(String, Vec<&'static str>)>,
}

/// Decides where we are, before anything else is read: a file adds to the environment, and in development `.env` does.
pub(crate) fn load_environment() -> Result<Environment, Failed> {
    let set = || PLACES.into_iter().filter(|name| variable(name).is_some()).collect();
    let mut sources = vec![("the environment".to_owned(), set())];
    if let Some(file) = env_file() {
        let name = file.display().to_string();
        dotenvy::from_path(&file).map_err(|error| unreadable(&name, &error))?;
        sources.push((name, set()));
    }
    let default = if cfg!(debug_assertions) { AppEnv::Development } else { AppEnv::Production };
    let env = match variable("APP_ENV") {
        Some(word) => word.parse()?,
        None => default,
    };
    if env == AppEnv::Development {
        match dotenvy::dotenv() {
            Err(error) if !error.not_found() => return Err(unreadable(".env", &error)),
            _ => sources.push((".env".to_owned(), set())),
        }
    }
    Ok(Environment { env, sources })
}

/// What `--env-file` or `ENV_FILE` names. It is looked for before the command line is read, which reads the environment.
fn env_file() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    let given = arguments.find_map(|argument| match argument.to_str()?.strip_prefix("--env-file")? {
        "" => Some(None),
        rest => Some(Some(PathBuf::from(rest.strip_prefix('=')?))),
    });
    match given {
        Some(None) => arguments.next().map(PathBuf::from),
        Some(file) => file,
        None => variable("ENV_FILE").map(PathBuf::from),
    }
}

/// The error's own text quotes the line, which may hold a secret.
fn unreadable(file: &str, error: &dotenvy::Error) -> Failed {
    let (reason, help) = match error {
        dotenvy::Error::Io(error) => {
            (format!(": {error}"), "name one that is there and that this user may read")
        }
        dotenvy::Error::LineParse(_, at) => (
            format!(": a line is not understood at its character {}", at + 1),
            "write `NAME=value` on each line, with quotes around values that hold spaces",
        ),
        _ => (String::new(), "see that it is text"),
    };
    Failed::new(Exit::Configuration, format!("the file {file} cannot be read{reason}"), help)
}

impl Settings {
    pub(crate) fn new(environment: &Environment, globals: Globals) -> Self {
        let set = |value: Option<String>| value.filter(|value| !value.trim().is_empty());
        let given = [globals.database_url.as_deref(), globals.queue_url.as_deref(), None];
        let origin = |(name, given): (&'static str, Option<&str>)| {
            let origin = match variable(name) {
                value if given.is_some() && given != value.as_deref() => Some("a flag".to_owned()),
                _ => {
                    let mut sources = environment.sources.iter();
                    sources.find(|(_, set)| set.contains(&name)).map(|(source, _)| source.clone())
                }
            };
            (name, origin)
        };
        Self {
            env: environment.env,
            origins: PLACES.into_iter().zip(given).map(origin).collect(),
            database_url: set(globals.database_url),
            queue_url: set(globals.queue_url),
            http_addr: variable("HTTP_ADDR"),
            env_file: globals.env_file,
            #[cfg(feature = "local")]
            project: variable("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
