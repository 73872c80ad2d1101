use std::fmt;

use clap::{ArgMatches, Args, Command};

use crate::handler::state::AnyState;
use crate::handler::work::{Boxed, SetupError};

/// What a command does with the app's state.
pub(crate) type Run = Box<dyn FnOnce(AnyState) -> Boxed<Result<(), SetupError>> + Send>;

type Bind = Box<dyn FnOnce(&ArgMatches) -> Result<Run, clap::Error> + Send>;

/// A command of the app's own.
pub(crate) struct OwnCommand {
    pub name: &'static str,
    /// Its arguments, for help and completions.
    pub definition: Command,
    /// Reads what was given, before anything begins.
    pub bind: Bind,
}

impl OwnCommand {
    pub(crate) fn new<A, F, Fut>(name: &'static str, about: &'static str, run: F) -> Self
    where
        A: Args + Send + 'static,
        F: FnOnce(AnyState, A) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), SetupError>> + Send + 'static,
    {
        let definition = A::augment_args(Command::new(name)).about(about);
        let bind: Bind = Box::new(|given| {
            let arguments = A::from_arg_matches(given)?;
            Ok(Box::new(move |state| Box::pin(run(state, arguments))))
        });
        Self { name, definition, bind }
    }
}

impl fmt::Debug for OwnCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCommand").field("name", &self.name).finish_non_exhaustive()
    }
}
