use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::{Globals, command};
use crate::process::exit::{CommandError, Exit};

/// Where the app runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppEnv {
    /// A developer's machine: a launch starts missing servers and upgrades the schema.
    Development,
    /// Anywhere else: the app starts no servers and upgrades nothing by itself.
    Production,
}

impl FromStr for AppEnv {
    type Err = CommandError;

    fn from_str(word: &str) -> Result<Self, CommandError> {
        match word {
            "development" => Ok(Self::Development),
            "production" => Ok(Self::Production),
            _ => Err(CommandError::new(
                Exit::Configuration,
                format!("APP_ENV is `{word}`"),
                "set it to `development` or `production`, or unset it",
            )),
        }
    }
}

/// The settings. A flag wins over the environment, which wins over the file of `--env-file`. In development `.env` comes
/// last.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub env: AppEnv,
    /// It may hold a password, so it is never shown.
    pub database_url: Option<String>,
    pub queue_url: Option<String>,
    /// The address that serves health and metrics.
    pub http_addr: Option<String>,
    /// The schema of the journal.
    pub journal_schema: Option<String>,
    /// The folder in which the app keeps what must outlive a process.
    pub state_directory: Option<PathBuf>,
    /// The file whose variables were added to the environment.
    pub env_file: Option<PathBuf>,
    /// The source of each variable of `PLACES`, if it is set.
    pub origins: Vec<(&'static str, Option<String>)>,
    /// The project's folder, for `sql/` and `.onward/`.
    #[cfg(feature = "local")]
    pub project: PathBuf,
}

/// The variables that name the database, the queue and the HTTP address.
const PLACES: [&str; 3] = ["DATABASE_URL", "QUEUE_URL", "HTTP_ADDR"];

/// Where the app runs, and the variables of `PLACES` that each source sets, the strongest source first.
pub(crate) struct Environment {
    pub env: AppEnv,
    sources: Vec<(String, Vec<&'static str>)>,
}

/// Decides where the app runs, before it reads anything else. Adds the environment file to the environment, and in
/// development `.env`.
pub(crate) fn load_environment() -> Result<Environment, CommandError> {
    let set = || PLACES.into_iter().filter(|name| variable(name).is_some()).collect();
    let mut sources = vec![("the environment".to_owned(), set())];
    if let Some(file) = env_file() {
        let name = file.display().to_string();
        dotenvy::from_path(&file).map_err(|error| unreadable(&name, &error))?;
        sources.push((name, set()));
    }
    let env = app_env()?;
    if env == AppEnv::Development {
        match dotenvy::dotenv() {
            Err(error) if !error.not_found() => return Err(unreadable(".env", &error)),
            _ => sources.push((".env".to_owned(), set())),
        }
    }
    Ok(Environment { env, sources })
}

/// Where the app runs: as `APP_ENV` says, else by the build.
pub(crate) fn app_env() -> Result<AppEnv, CommandError> {
    let default = if cfg!(debug_assertions) { AppEnv::Development } else { AppEnv::Production };
    variable("APP_ENV").map_or(Ok(default), |word| word.parse())
}

/// The project's folder: cargo names it, and a person is in it.
pub(crate) fn project() -> PathBuf {
    variable("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// The file that `--env-file` or `ENV_FILE` names. The app reads the command line twice, because this file may hold values
/// of other arguments. The first pass looks only for the file and leaves errors to the second.
fn env_file() -> Option<PathBuf> {
    let first_pass = command().version("").ignore_errors(true).try_get_matches().ok()?;
    let mut matches = &first_pass;
    loop {
        if let Ok(Some(file)) = matches.try_get_one::<PathBuf>("env_file") {
            return Some(file.clone());
        }
        matches = matches.subcommand()?.1;
    }
}

/// Leaves out the error's own text, because it quotes the line, which may hold a secret.
fn unreadable(file: &str, error: &dotenvy::Error) -> CommandError {
    let (reason, help) = match error {
        dotenvy::Error::Io(error) => {
            (format!(": {error}"), "name a file that exists and that this user may read")
        }
        dotenvy::Error::LineParse(line, at) => {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let number = text.lines().position(|of_file| of_file == line).map(|index| index + 1);
            let which = number.map_or_else(|| "a line".to_owned(), |number| format!("line {number}"));
            (
                format!(": {which} is wrong at its character {}", at + 1),
                "write `NAME=value` on each line, with single quotes around values that hold spaces, `#` or `$`",
            )
        }
        _ => (String::new(), "check that it is a text file"),
    };
    CommandError::new(Exit::Configuration, format!("the file {file} cannot be read{reason}"), help)
}

impl Settings {
    /// The settings of a program that works on one database, and takes nothing else from the environment.
    #[cfg(feature = "local")]
    pub(crate) const fn of_database(database_url: Option<String>, project: PathBuf) -> Self {
        Self {
            env: AppEnv::Production,
            database_url,
            queue_url: None,
            http_addr: None,
            journal_schema: None,
            state_directory: None,
            env_file: None,
            origins: Vec::new(),
            project,
        }
    }

    pub(crate) fn new(environment: &Environment, globals: Globals) -> Self {
        let is_development = environment.env == AppEnv::Development;
        let of_project = is_development.then(|| project().join(".onward"));
        // A secret often ends with a line end.
        let set = |value: Option<String>| {
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
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
            journal_schema: variable("JOURNAL_SCHEMA"),
            state_directory: variable("STATE_DIRECTORY").as_deref().map(first_folder).or(of_project),
            env_file: globals.env_file,
            #[cfg(feature = "local")]
            project: project(),
        }
    }
}

/// systemd gives a service several folders in one variable.
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#RuntimeDirectory=>
fn first_folder(folders: &str) -> PathBuf {
    let end = if cfg!(unix) { folders.find(':') } else { None };
    PathBuf::from(&folders[..end.unwrap_or(folders.len())])
}

/// A variable; an empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
