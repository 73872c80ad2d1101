use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// The queues to which an app may send: those that it works, and those that it declares besides. A misspelt name is then found where the
/// message is sent, in a test, and not by the message that waits in production for a queue that is not there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Destinations(Arc<[String]>);

impl Destinations {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Whether a message may be sent there.
    pub(crate) fn check(&self, queue: &str) -> Result<(), Undeclared> {
        match self.0.iter().any(|name| name == queue) {
            true => Ok(()),
            false => Err(Undeclared { queue: queue.to_owned(), declared: self.clone() }),
        }
    }
}

/// A message is sent to a queue that nobody has declared.
#[derive(Debug)]
pub(crate) struct Undeclared {
    queue: String,
    declared: Destinations,
}

impl Display for Undeclared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { queue, declared } = self;
        write!(
            f,
            "the queue `{queue}` is not declared (declared: {}): work it with `App::queue`, add `App::sends_to`, or name it in \
             `Producer::from_env`; if its name is misspelt, correct it",
            declared.0.join(", ")
        )
    }
}

impl std::error::Error for Undeclared {}
