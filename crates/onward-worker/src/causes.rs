use std::error::Error;

/// An error with its causes, which drivers keep apart: `error: cause: cause of the cause`. A cause that the text before it
/// repeats already is left out.
///
/// ```
/// let error = "x".parse::<i32>().unwrap_err();
/// assert_eq!(onward_worker::causes(&error), "invalid digit found in string");
/// ```
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
