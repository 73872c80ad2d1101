//! The options of the workers from outside: one table for flags, variables, their help, and what `doctor` shows.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use onward_worker::{Options, OptionsError};

/// An option of a queue's worker, by flag and variable.
pub(crate) struct Setting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// The field of [`Options`].
    field: &'static str,
    group: &'static str,
    help: &'static str,
    value: Value,
}

/// The place of a value.
enum Value {
    Size(fn(&mut Options) -> &mut usize),
    Count(fn(&mut Options) -> &mut u32),
    Time(fn(&mut Options) -> &mut Duration),
}

const HANDLERS: &str = "Handlers";
const ATTEMPTS: &str = "Attempts";
const QUEUE: &str = "Queue";
const BREAKER: &str = "When everything fails";

pub(crate) const SETTINGS: [Setting; 15] = [
    Setting {
        flag: "concurrency",
        field: "concurrency",
        group: HANDLERS,
        help: "How many messages are handled at once",
        value: Value::Size(|options| &mut options.concurrency),
    },
    Setting {
        flag: "handler-timeout",
        field: "handler_timeout",
        group: HANDLERS,
        help: "How long a handler may take for one message",
        value: Value::Time(|options| &mut options.handler_timeout),
    },
    Setting {
        flag: "stop-grace",
        field: "grace",
        group: HANDLERS,
        help: "How long running handlers have to end after the stop",
        value: Value::Time(|options| &mut options.grace),
    },
    Setting {
        flag: "budget-attempts",
        field: "budget.attempts",
        group: ATTEMPTS,
        help: "The attempts that a message has in any case",
        value: Value::Count(|options| &mut options.budget.attempts),
    },
    Setting {
        flag: "budget-time",
        field: "budget.time",
        group: ATTEMPTS,
        help: "The time after its first receive that a message has in any case",
        value: Value::Time(|options| &mut options.budget.time),
    },
    Setting {
        flag: "retry-backoff",
        field: "backoff",
        group: ATTEMPTS,
        help: "The delay before the second attempt; each later one doubles it",
        value: Value::Time(|options| &mut options.backoff),
    },
    Setting {
        flag: "retry-max-backoff",
        field: "max_backoff",
        group: ATTEMPTS,
        help: "The longest delay between two attempts",
        value: Value::Time(|options| &mut options.max_backoff),
    },
    Setting {
        flag: "undecodable-time",
        field: "undecodable",
        group: ATTEMPTS,
        help: "How long a body that does not decode is tried again before it is rejected",
        value: Value::Time(|options| &mut options.undecodable),
    },
    Setting {
        flag: "max-parked",
        field: "max_parked",
        group: ATTEMPTS,
        help: "How many messages wait in the process for their next attempt",
        value: Value::Size(|options| &mut options.max_parked),
    },
    Setting {
        flag: "poll-wait",
        field: "wait",
        group: QUEUE,
        help: "How long a poll waits for a message",
        value: Value::Time(|options| &mut options.wait),
    },
    Setting {
        flag: "visibility-timeout",
        field: "visibility",
        group: QUEUE,
        help: "How long a receive hides a message before its lease is extended",
        value: Value::Time(|options| &mut options.visibility),
    },
    Setting {
        flag: "max-lease",
        field: "max_lease",
        group: QUEUE,
        help: "How long a worker may keep a message altogether",
        value: Value::Time(|options| &mut options.max_lease),
    },
    Setting {
        flag: "breaker-after",
        field: "breaker_after",
        group: BREAKER,
        help: "After how many failures without a success the worker stops receiving; 0 is never",
        value: Value::Count(|options| &mut options.breaker_after),
    },
    Setting {
        flag: "breaker-pause",
        field: "breaker_pause",
        group: BREAKER,
        help: "How long it then receives nothing; each failed attempt doubles it",
        value: Value::Time(|options| &mut options.breaker_pause),
    },
    Setting {
        flag: "breaker-longest",
        field: "breaker_longest",
        group: BREAKER,
        help: "The longest such pause",
        value: Value::Time(|options| &mut options.breaker_longest),
    },
];

impl Setting {
    /// The variable for all queues.
    pub(crate) fn variable(&self) -> String {
        self.flag.to_uppercase().replace('-', "_")
    }

    /// The value in its text form.
    pub(crate) fn show(&self, options: &Options) -> String {
        let mut options = options.clone();
        match self.value {
            Value::Size(place) => place(&mut options).to_string(),
            Value::Count(place) => place(&mut options).to_string(),
            Value::Time(place) => format!("{:?}", place(&mut options)),
        }
    }

    /// Sets the value; an error says the form that it must have.
    fn set(&self, options: &mut Options, text: &str) -> Result<(), &'static str> {
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

/// The flags of `serve` for the options.
pub(crate) fn arguments(command: Command) -> Command {
    SETTINGS.iter().fold(command, |command, setting| {
        let form = match setting.value {
            Value::Time(_) => "[QUEUE=]TIME",
            _ => "[QUEUE=]N",
        };
        let help = format!("{} [env: {}[_QUEUE]]", setting.help, setting.variable());
        command.arg(
            Arg::new(setting.flag)
                .long(setting.flag)
                .value_name(form)
                .help(help)
                .help_heading(setting.group)
                .action(ArgAction::Append),
        )
    })
}

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Vec<(&'static str, String)>);

impl Given {
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let values = SETTINGS.iter().flat_map(|setting| {
            let values = matches.try_get_many::<String>(setting.flag).ok().flatten();
            values.into_iter().flatten().map(|value| (setting.flag, value.clone()))
        });
        Self(values.collect())
    }

    /// The value for a queue: one that names it, or else one for all.
    fn value(&self, flag: &str, queue: &str) -> Option<(String, String)> {
        let of_flag = self.0.iter().filter(|(name, _)| *name == flag);
        let mut for_all =
            of_flag.clone().filter(|(_, value)| !value.contains('=')).map(|(_, value)| value.as_str());
        let own = of_flag.filter_map(|(_, value)| value.split_once('=')).filter(|(name, _)| *name == queue);
        let own = own.map(|(_, value)| value).next_back();
        own.or(for_all.next_back()).map(|value| (format!("--{flag}"), value.to_owned()))
    }

    /// A queue that a flag names and that the app does not have.
    pub(crate) fn unknown(&self, queues: &[&str]) -> Option<(&'static str, &str)> {
        self.0.iter().find_map(|(flag, value)| {
            let (queue, _) = value.split_once('=')?;
            (!queues.contains(&queue)).then_some((*flag, queue))
        })
    }
}

/// A value that is set from outside, and cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongValue {
    /// The flag or variable.
    pub origin: String,
    pub value: String,
    /// What it must be.
    pub form: String,
}

/// Where the value of each setting comes from, if not from the app.
pub(crate) type Origins = Vec<(&'static str, String)>;

/// Whether a variable has the name of an option and a queue, of which there is none.
pub(crate) fn names_no_queue(variable: &str, suffixes: &[String]) -> bool {
    let suffix =
        |setting: &Setting| variable.strip_prefix(&setting.variable())?.strip_prefix('_').map(str::to_owned);
    SETTINGS.iter().filter_map(suffix).any(|suffix| !suffixes.contains(&suffix))
}

/// Sets the options of a queue as flags and variables say: a flag wins over a variable, what names the queue over what does not.
/// `suffix` is the queue's name in the form of a variable.
pub(crate) fn configure(
    options: &mut Options,
    queue: &str,
    suffix: &str,
    given: &Given,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Origins, WrongValue> {
    let mut origins = Vec::new();
    for setting in &SETTINGS {
        let for_all = setting.variable();
        let of_queue = format!("{for_all}_{suffix}");
        let of_variables =
            || [of_queue, for_all].into_iter().find_map(|name| variable(&name).map(|value| (name, value)));
        let Some((origin, value)) = given.value(setting.flag, queue).or_else(of_variables) else { continue };
        let wrong = |form: String| WrongValue { origin: origin.clone(), value: value.clone(), form };
        setting.set(options, value.trim()).map_err(|form| wrong(form.to_owned()))?;
        // A range may depend on another option, which may be set later.
        origins.push((setting.flag, origin, value));
    }
    if let Err(OptionsError { option, range, .. }) = options.validate() {
        let setting = SETTINGS.iter().find(|setting| setting.field == option);
        let set = origins.iter().find(|(flag, ..)| setting.is_some_and(|setting| setting.flag == *flag));
        // One that the app has set may be outside of the range that another one gives it.
        let (origin, value) = match (set, setting) {
            (Some((_, origin, value)), _) => (origin.clone(), value.clone()),
            (None, Some(setting)) => (option.to_owned(), setting.show(options)),
            (None, None) => (option.to_owned(), String::new()),
        };
        return Err(WrongValue { origin, value, form: range.to_owned() });
    }
    Ok(origins.into_iter().map(|(flag, origin, _)| (flag, origin)).collect())
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

    fn given(flags: &[(&'static str, &str)]) -> Given {
        Given(flags.iter().map(|(flag, value)| (*flag, (*value).to_owned())).collect())
    }

    fn configured(
        flags: &[(&'static str, &str)],
        variables: &[(&str, &str)],
    ) -> Result<(Options, Origins), WrongValue> {
        let mut options = Options { concurrency: 7, ..Options::default() };
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let origins = configure(&mut options, "orders.fifo", "ORDERS_FIFO", &given(flags), variable)?;
        Ok((options, origins))
    }

    #[test]
    fn what_names_the_queue_wins_and_a_flag_wins_over_a_variable() {
        let concurrency = |flags: &[(&'static str, &str)], variables: &[(&str, &str)]| {
            configured(flags, variables).expect("is in range").0.concurrency
        };
        let all = ("CONCURRENCY", "1");
        assert_eq!(concurrency(&[], &[]), 7, "the app's own");
        assert_eq!(concurrency(&[], &[all]), 1);
        assert_eq!(concurrency(&[], &[all, ("CONCURRENCY_ORDERS_FIFO", "2")]), 2);
        assert_eq!(concurrency(&[("concurrency", "3")], &[all, ("CONCURRENCY_ORDERS_FIFO", "2")]), 3);
        let flags = [("concurrency", "orders.fifo=4"), ("concurrency", "3"), ("concurrency", "other=5")];
        assert_eq!(concurrency(&flags, &[]), 4);
        let (options, origins) = configured(&[], &[("STOP_GRACE", "90s"), ("BUDGET_TIME_ORDERS_FIFO", "1h")])
            .expect("are in range");
        assert_eq!((options.grace.as_secs(), options.budget.time.as_secs()), (90, 3600));
        let expected = [("stop-grace", "STOP_GRACE"), ("budget-time", "BUDGET_TIME_ORDERS_FIFO")];
        assert_eq!(origins, expected.map(|(flag, origin)| (flag, origin.to_owned())));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_it_must_be() {
        let wrong = |flags: &[(&'static str, &str)], variables: &[(&str, &str)]| {
            let WrongValue { origin, value, form } = configured(flags, variables).expect_err("is wrong");
            format!("{origin} {value}: {form}")
        };
        let many = wrong(&[], &[("CONCURRENCY_ORDERS_FIFO", "many")]);
        assert_eq!(many, "CONCURRENCY_ORDERS_FIFO many: a number");
        assert_eq!(wrong(&[("concurrency", "0")], &[]), "--concurrency 0: 1 to 10,000");
        assert_eq!(wrong(&[], &[("POLL_WAIT", "21s")]), "POLL_WAIT 21s: 0 to 20 s");
        assert!(wrong(&[], &[("HANDLER_TIMEOUT", "5 minutes")]).contains("a number with its unit"));
        // A lease is at least as long as the visibility timeout, which comes from elsewhere.
        assert_eq!(wrong(&[("max-lease", "10s")], &[]), "--max-lease 10s: visibility to 12 h");
    }

    #[test]
    fn every_option_can_be_set() {
        let debug = format!("{:?}", Options::default());
        // `Budget` is the only field with fields of its own.
        let fields = debug.matches(": ").count() - 1;
        assert_eq!(SETTINGS.len(), fields, "{debug}");
        for setting in &SETTINGS {
            let text = match setting.value {
                Value::Time(_) => "3s",
                _ => "3",
            };
            let mut options = Options::default();
            setting.set(&mut options, text).expect("is well-formed");
            assert_eq!(setting.show(&options), text, "{}", setting.flag);
        }
    }

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
