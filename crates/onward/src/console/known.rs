use std::time::Instant;

/// What was seen last, and why it could not be seen again.
#[derive(Debug, Clone)]
pub(super) struct Known<T> {
    pub seen: Option<(Instant, T)>,
    pub error: Option<String>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { seen: None, error: None }
    }
}

impl<T> Known<T> {
    pub(super) fn learn(&mut self, outcome: Result<T, String>) {
        match outcome {
            Ok(seen) => *self = Self { seen: Some((Instant::now(), seen)), error: None },
            Err(error) => self.error = Some(error),
        }
    }
}
