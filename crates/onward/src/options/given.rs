use clap::{Arg, ArgAction, ArgMatches, Command};
use onward_worker::{Options, OptionsError};

use super::app::{APP_SETTINGS, AppOptions};
use super::queue::SETTINGS;
use super::setting::{Setting, Value};

/// The flags of `serve` for the options.
pub(crate) fn arguments(command: Command) -> Command {
    let of_queue = SETTINGS.iter().map(|setting| argument(setting, true));
    command.args(of_queue).args(APP_SETTINGS.iter().map(|setting| argument(setting, false)))
}

/// The flag of one option, which may name a queue where it is one of a queue.
fn argument<O: Clone>(setting: &Setting<O>, is_of_queue: bool) -> Arg {
    let form = match (&setting.value, is_of_queue) {
        (Value::Time(_), true) => "[QUEUE=]TIME",
        (Value::Time(_), false) => "TIME",
        (_, true) => "[QUEUE=]N",
        (_, false) => "N",
    };
    let suffix = if is_of_queue { "[_QUEUE]" } else { "" };
    let help = format!("{} [env: {}{suffix}]", setting.help, setting.variable());
    let argument = Arg::new(setting.flag).long(setting.flag).value_name(form).help(help);
    argument.help_heading(setting.group).action(ArgAction::Append)
}

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Vec<(&'static str, String)>);

impl Given {
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let flags = SETTINGS.iter().map(|setting| setting.flag);
        let values = flags.chain(APP_SETTINGS.iter().map(|setting| setting.flag)).flat_map(|flag| {
            let values = matches.try_get_many::<String>(flag).ok().flatten();
            values.into_iter().flatten().map(move |value| (flag, value.clone()))
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

    /// The value for the app as a whole.
    fn value_for_app(&self, flag: &str) -> Option<(String, String)> {
        let value = self.0.iter().rfind(|(name, _)| *name == flag);
        value.map(|(_, value)| (format!("--{flag}"), value.clone()))
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

/// The same for each queue and for the app as a whole.
#[derive(Debug, Default)]
pub(crate) struct AllOrigins {
    pub queues: Vec<Origins>,
    pub app: Origins,
}

/// Whether a variable has the name of an option and a queue, of which there is none.
pub(crate) fn names_no_queue(variable: &str, suffixes: &[String]) -> bool {
    let suffix = |setting: &Setting<Options>| {
        variable.strip_prefix(&setting.variable())?.strip_prefix('_').map(str::to_owned)
    };
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
    let origins = set_all(&SETTINGS, options, |setting| {
        let for_all = setting.variable();
        let of_queue = format!("{for_all}_{suffix}");
        let of_variables =
            || [of_queue, for_all].into_iter().find_map(|name| variable(&name).map(|value| (name, value)));
        given.value(setting.flag, queue).or_else(of_variables)
    })?;
    match options.validate() {
        Ok(()) => Ok(named(origins)),
        Err(OptionsError { option, range, .. }) => {
            Err(out_of_range(&SETTINGS, options, &origins, option, range))
        }
    }
}

/// Sets the options of the app as flags and variables say: a flag wins over a variable.
pub(crate) fn configure_app(
    options: &mut AppOptions,
    given: &Given,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Origins, WrongValue> {
    let origins = set_all(&APP_SETTINGS, options, |setting| {
        let name = setting.variable();
        given.value_for_app(setting.flag).or_else(|| variable(&name).map(|value| (name, value)))
    })?;
    match options.out_of_range() {
        None => Ok(named(origins)),
        Some((option, range)) => Err(out_of_range(&APP_SETTINGS, options, &origins, option, range)),
    }
}

/// A setting that was set: its flag, where its value comes from, and the value.
type Set = (&'static str, String, String);

fn named(set: Vec<Set>) -> Origins {
    set.into_iter().map(|(flag, origin, _)| (flag, origin)).collect()
}

/// Sets what has a value from outside. A range may depend on another option, which may be set later, so none is checked.
fn set_all<O: Clone>(
    settings: &[Setting<O>],
    options: &mut O,
    value: impl Fn(&Setting<O>) -> Option<(String, String)>,
) -> Result<Vec<Set>, WrongValue> {
    let mut all = Vec::new();
    for setting in settings {
        let Some((origin, value)) = value(setting) else { continue };
        if let Err(form) = setting.set(options, value.trim()) {
            return Err(WrongValue { origin, value, form: form.to_owned() });
        }
        all.push((setting.flag, origin, value));
    }
    Ok(all)
}

fn out_of_range<O: Clone>(
    settings: &[Setting<O>],
    options: &O,
    set: &[Set],
    option: &str,
    range: &str,
) -> WrongValue {
    let setting = settings.iter().find(|setting| setting.field == option);
    let set = set.iter().find(|(flag, ..)| setting.is_some_and(|setting| setting.flag == *flag));
    // One that the app has set may be outside of the range that another one gives it.
    let (origin, value) = match (set, setting) {
        (Some((_, origin, value)), _) => (origin.clone(), value.clone()),
        (None, Some(setting)) => (option.to_owned(), setting.show(options)),
        (None, None) => (option.to_owned(), String::new()),
    };
    WrongValue { origin, value, form: range.to_owned() }
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
    fn an_option_of_the_app_has_a_flag_and_a_variable() {
        let configured = |flags: &[(&'static str, &str)], variables: &[(&str, &str)]| {
            let mut options = AppOptions { connections: 7, ..AppOptions::default() };
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            configure_app(&mut options, &given(flags), variable).map(|origins| (options, origins))
        };
        let (options, origins) = configured(
            &[("statement-timeout", "5s")],
            &[("STATEMENT_TIMEOUT", "1s"), ("INBOX_RETENTION", "15d")],
        )
        .expect("are in range");
        assert_eq!((options.connections, options.statement_timeout.as_secs()), (7, 5));
        assert_eq!(options.inbox_retention.as_secs(), 15 * 24 * 3600);
        let expected = [("statement-timeout", "--statement-timeout"), ("inbox-retention", "INBOX_RETENTION")];
        assert_eq!(origins, expected.map(|(flag, origin)| (flag, origin.to_owned())));
        let wrong = |variable: (&str, &str)| configured(&[], &[variable]).expect_err("is wrong").form;
        assert_eq!(wrong(("DATABASE_CONNECTIONS", "many")), "a number");
        assert_eq!(wrong(("INBOX_RETENTION", "1h")), "0, or 1 day and more");
        assert_eq!(wrong(("STATEMENT_TIMEOUT", "30d")), "0 to 24 days");
    }

    #[test]
    fn every_option_can_be_set() {
        let fields = |debug: String| debug.matches(": ").count();
        // `Budget` is the only field with fields of its own.
        assert_eq!(SETTINGS.len(), fields(format!("{:?}", Options::default())) - 1);
        assert_eq!(APP_SETTINGS.len(), fields(format!("{:?}", AppOptions::default())));
        can_be_set(&SETTINGS);
        can_be_set(&APP_SETTINGS);
    }

    fn can_be_set<O: Clone + Default>(settings: &[Setting<O>]) {
        for setting in settings {
            let text = match setting.value {
                Value::Time(_) => "3s",
                _ => "3",
            };
            let mut options = O::default();
            setting.set(&mut options, text).expect("is well-formed");
            assert_eq!(setting.show(&options), text, "{}", setting.flag);
        }
    }
}
