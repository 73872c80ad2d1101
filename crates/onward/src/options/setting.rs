use std::time::Duration;

/// An option by flag and variable.
pub(crate) struct Setting<O: 'static> {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The field of the options.
    pub field: &'static str,
    pub group: &'static str,
    pub help: &'static str,
    pub value: Value<O>,
}

/// The place of a value.
pub(crate) enum Value<O: 'static> {
    Size(fn(&mut O) -> &mut usize),
    Count(fn(&mut O) -> &mut u32),
    Time(fn(&mut O) -> &mut Duration),
}

impl<O: Clone> Setting<O> {
    /// The variable for all queues.
    pub(crate) fn variable(&self) -> String {
        self.flag.to_uppercase().replace('-', "_")
    }

    /// The value in its text form.
    pub(crate) fn show(&self, options: &O) -> String {
        let mut options = options.clone();
        match self.value {
            Value::Size(place) => place(&mut options).to_string(),
            Value::Count(place) => place(&mut options).to_string(),
            Value::Time(place) => format!("{:?}", place(&mut options)),
        }
    }

    /// Sets the value; an error says the form that it must have.
    pub(crate) fn set(&self, options: &mut O, text: &str) -> Result<(), &'static str> {
        const NUMBER: &str = "a number";
        match self.value {
            Value::Size(place) => *place(options) = text.parse().map_err(|_| NUMBER)?,
            Value::Count(place) => *place(options) = text.parse().map_err(|_| NUMBER)?,
            Value::Time(place) => {
                *place(options) =
                    duration(text).map_err(|_| "a number with its unit: `500ms`, `30s`, `5m`, `6h`")?;
            }
        }
        Ok(())
    }
}

/// Parses `90s`, `5m`, `500ms`, `1h`, `1d`; a number without a unit is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "write it as 500ms, 90s, 5m, 1h or 1d".to_owned())?;
    let factor_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("unknown unit `{unit}`: use ms, s, m, h or d")),
    };
    number.checked_mul(factor_ms).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [("500ms", 500), ("90s", 90_000), ("90", 90_000), ("5m", 300_000), ("1h", 3_600_000)];
        for (text, ms) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "-1s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
