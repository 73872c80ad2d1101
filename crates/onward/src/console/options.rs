use onward_script::Digest;

use crate::config::settings::{AppEnv, variable};
use crate::console::sessions::random;
use crate::process::exit::{CommandError, Exit};

/// A shorter token could be guessed.
const SHORTEST: usize = 16;

/// How the console is configured.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleOptions {
    pub token: Token,
    /// Whether the bodies of messages are shown.
    pub shows_bodies: bool,
}

/// What gives the right to act. Only its digest is kept.
#[derive(Debug, Clone)]
pub(crate) enum Token {
    /// Nobody may act, and only this machine may look.
    None,
    /// Of `CONSOLE_TOKEN`: who knows it may look and act, from anywhere.
    Configured(Digest),
    /// Of a development launch, which prints it: this machine may look, and who knows it may act.
    Printed { digest: Digest, text: String },
}

impl ConsoleOptions {
    /// Reads `CONSOLE`, `CONSOLE_TOKEN` and `CONSOLE_BODIES`. None if the console is off.
    pub(crate) fn from_environment(env: AppEnv) -> Result<Option<Self>, CommandError> {
        if !switch("CONSOLE")? {
            return Ok(None);
        }
        let token = match variable("CONSOLE_TOKEN") {
            Some(token) if token.trim().len() < SHORTEST => {
                let message = format!("CONSOLE_TOKEN has fewer than {SHORTEST} characters");
                return Err(CommandError::new(
                    Exit::Configuration,
                    message,
                    "`openssl rand -hex 16` makes one that nobody can guess",
                ));
            }
            Some(token) => Token::Configured(Digest::of(token.trim().as_bytes())),
            None if env == AppEnv::Development => {
                let text = random()?;
                Token::Printed { digest: Digest::of(text.as_bytes()), text }
            }
            None => Token::None,
        };
        Ok(Some(Self { token, shows_bodies: switch("CONSOLE_BODIES")? }))
    }
}

/// A variable that is `on` or `off`, and on where it is not set.
fn switch(name: &str) -> Result<bool, CommandError> {
    match variable(name).as_deref() {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(word) => {
            let message = format!("{name} is `{word}`");
            Err(CommandError::new(Exit::Configuration, message, "set it to `on` or `off`, or unset it"))
        }
    }
}
