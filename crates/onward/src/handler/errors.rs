//! What an error that a handler has passed on means for its message.

use onward_worker::{Failure, FailureKind};

use crate::database::errors::{causes, is_permanent, names_place};

/// What an app says of an error that a handler has passed on with `?`; none leaves it to the default.
pub(crate) type Classify = dyn Fn(&Failure) -> Option<FailureKind> + Send + Sync;

/// A failure with the whole reason and, where the handler has left it open, with what becomes of the message.
pub(crate) fn judged(mut failure: Failure, classify: Option<&Classify>) -> Failure {
    if names_place(failure.error()) {
        failure.reason = causes(failure.error());
    }
    if !failure.is_decided() {
        let said = classify.and_then(|classify| classify(&failure));
        let default = if is_permanent(failure.error()) { FailureKind::Reject } else { FailureKind::Retry };
        failure.kind = said.unwrap_or(default);
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the number is wrong")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn number() -> Result<i32, Failure> {
        Ok("x".parse().map_err(Outer)?)
    }

    #[test]
    fn the_app_decides_what_the_handler_has_left_open() {
        let of_number = |failure: &Failure| {
            failure.error().source()?.is::<std::num::ParseIntError>().then_some(FailureKind::Reject)
        };
        let left_open = || number().expect_err("is no number");
        assert_eq!(left_open().reason, "the number is wrong: invalid digit found in string");
        assert_eq!(judged(left_open(), None).kind, FailureKind::Retry);
        assert_eq!(judged(left_open(), Some(&of_number)).kind, FailureKind::Reject);
        let decided = Failure::retry(left_open().error().to_string());
        assert_eq!(judged(decided, Some(&of_number)).kind, FailureKind::Retry);
    }

    #[test]
    fn any_error_becomes_a_failure() {
        fn boxed() -> Result<(), Failure> {
            Err(Box::<dyn Error + Send + Sync>::from(Outer("x".parse::<i32>().expect_err("is no number"))))?;
            Ok(())
        }
        fn text() -> Result<(), Failure> {
            Err("busy")?;
            Ok(())
        }
        let failure = boxed().expect_err("fails");
        assert_eq!(failure.reason, "the number is wrong: invalid digit found in string");
        assert!(failure.error().is::<Outer>());
        assert_eq!(text().expect_err("fails").reason, "busy");
    }
}
