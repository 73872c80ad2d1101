#[cfg(feature = "local")]
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

/// What was configured: flag over environment over, in development, `.env`.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub env: AppEnv,
    /// It may hold a password and is never shown.
    pub database_url: Option<String>,
    pub queue_url: Option<String>,
    /// Where health and metrics are served.
    pub http_addr: Option<String>,
    /// Where each of them came from, if it is set.
    pub origins: Vec<(&'static str, Option<&'static str>)>,
    /// The project's folder, for `sql/` and `.onward/`.
    #[cfg(feature = "local")]
    pub project: PathBuf,
}

/// The variables that say where the app works.
const PLACES: [&str; 3] = ["DATABASE_URL", "QUEUE_URL", "HTTP_ADDR"];

/// Decides where we are, before anything else is read: in development `.env` adds to the environment. Says also which
/// variables were there before it.
pub(crate) fn load_environment() -> Result<(AppEnv, Vec<&'static str>), Failed> {
    let own = PLACES.into_iter().filter(|name| variable(name).is_some()).collect();
    let default = if cfg!(debug_assertions) { AppEnv::Development } else { AppEnv::Production };
    let env = match variable("APP_ENV") {
        Some(word) => word.parse()?,
        None => default,
    };
    if env == AppEnv::Development {
        match dotenvy::dotenv() {
            Err(error) if !error.not_found() => {
                // The error's own text quotes the line, which may hold a secret.
                let help = "write `NAME=value` on each line, with quotes around values that hold spaces";
                return Err(Failed::new(Exit::Configuration, "the file .env cannot be read", help));
            }
            _ => {}
        }
    }
    Ok((env, own))
}

impl Settings {
    pub(crate) fn new(env: AppEnv, own: &[&'static str], globals: Globals) -> Self {
        let set = |value: Option<String>| value.filter(|value| !value.trim().is_empty());
        let given = [globals.database_url.as_deref(), globals.queue_url.as_deref(), None];
        let origin = |(name, given): (&'static str, Option<&str>)| {
            let origin = match variable(name) {
                value if given.is_some() && given != value.as_deref() => Some("a flag"),
                None => None,
                Some(_) if own.contains(&name) => Some("the environment"),
                Some(_) => Some(".env"),
            };
            (name, origin)
        };
        Self {
            env,
            origins: PLACES.into_iter().zip(given).map(origin).collect(),
            database_url: set(globals.database_url),
            queue_url: set(globals.queue_url),
            http_addr: variable("HTTP_ADDR"),
            #[cfg(feature = "local")]
            project: variable("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
