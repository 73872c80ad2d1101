use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The command line.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// The database: `postgres://USER:PASSWORD@HOST:5432/NAME`, or a SQL Server address
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The SQS queue: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`
    #[arg(long, global = true, env = "QUEUE_URL", value_name = "URL")]
    pub queue_url: Option<String>,
    /// A file with lines `NAME=value` that are added to the environment
    #[arg(long, global = true, env = "ENV_FILE", value_name = "FILE")]
    pub env_file: Option<std::path::PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work the queue; starts only on the right schema (the default in development)
    Serve,
    /// Upgrade the database to the scripts of this binary
    Migrate(Migrate),
    /// Take over a database that has tables and no journal: record the baseline without running it
    Adopt(Adopt),
    /// Drop the development database and create it anew: baseline, then every script
    #[cfg(feature = "local")]
    Rebuild(Rebuild),
    /// Show how the database stands to the scripts of this binary
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if the schema is current, with 4 if it is not
    Check,
    /// Send messages and look at queues
    Queue(Queue),
    /// Check configuration, database and queue, and say how to mend what is wrong
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Run as a service: of systemd, of launchd, of Windows
    #[command(subcommand)]
    Service(Service),
    /// Write, seal and check scripts
    #[cfg(feature = "local")]
    #[command(subcommand)]
    Script(Script),
}

/// How to upgrade.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Show what would run, in which transactions, and run nothing
    #[arg(long)]
    pub plan: bool,
    /// Stop after script N
    #[arg(long, value_name = "N")]
    pub to: Option<i32>,
    /// How long to wait for another migrator
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// How long a statement may wait for a lock of another session; for ever by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_timeout: Option<Duration>,
    /// Commit neighbouring scripts together
    #[arg(long)]
    pub single_transaction: bool,
}

/// How to take over a database.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The last script whose effect is there already; without it only the baseline's is
    #[arg(long, value_name = "N")]
    pub through: Option<i32>,
    /// How long to wait for a migrator
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
}

/// What to drop.
#[cfg(feature = "local")]
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The name of the database, once more, where it is not the private one
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// What to do with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Write its definition and have it started at boot
    Install(Install),
    /// Stop it and remove its definition
    Uninstall(Named),
    /// Start it
    Start(Named),
    /// Stop it: it drains, then ends
    Stop(Named),
    /// Stop it and start it again
    Restart(Named),
    /// Say whether it runs; exits with 0 if it does, else with 1
    Status(Named),
    /// What the service manager runs
    #[cfg(windows)]
    #[command(hide = true)]
    Run(Named),
}

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The service's name; by default the app's
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// One of several side by side
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// A service of the user instead of the system; not on Windows
    #[arg(long)]
    pub user_level: bool,
}

/// How the service is installed.
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    pub named: Named,
    /// Show the definition and write nothing
    #[arg(long)]
    pub print: bool,
    /// Whom it runs as; by default a user that exists only while it runs (systemd), an account of its own (Windows)
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// How long after a failure it is started again
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub restart_delay: Duration,
    /// Windows: after how long without a failure the count of failures begins again; elsewhere nothing is counted
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    pub reset_after: Duration,
    /// Windows: started some minutes after the others at boot
    #[arg(long, group = "start")]
    pub delayed: bool,
    /// Started only by `service start`, not at boot
    #[arg(long, group = "start")]
    pub manual: bool,
    /// Not started at all until it is enabled; under systemd the same as `--manual`
    #[arg(long, group = "start")]
    pub disabled: bool,
}

/// A queue and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Queue {
    /// Another queue than the first, by its name
    #[arg(long, global = true, value_name = "NAME")]
    pub queue: Option<String>,
    #[command(subcommand)]
    pub action: QueueAction,
}

/// What to do with a queue.
#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// Send one message
    Send {
        /// The body; `-` reads it from standard input
        body: String,
        /// The message group, for a FIFO queue
        #[arg(long, value_name = "ID")]
        group: Option<String>,
    },
    /// Count the messages of the queue and of its dead-letter queue
    Stats {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at messages; this receives them, so they stay hidden for some seconds
    Peek {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        max: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at dead letters and why they are there; this receives them
    Dead {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        max: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete every message of the queue for good
    Purge {
        /// The queue's name, once more
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Send dead letters to the queue again
    Redrive {
        /// Only those whose body or reason contains this
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        max: usize,
    },
}

/// What to do with scripts.
#[cfg(feature = "local")]
#[derive(Debug, Subcommand)]
pub(crate) enum Script {
    /// Write the next script
    New {
        /// What it does
        title: String,
    },
    /// Seal all drafts: they never change from then on
    Seal,
    /// Fold the baseline and the sealed scripts up to N into `Baseline-N.sql`
    Squash {
        /// The last script that the new baseline contains
        #[arg(long, value_name = "N")]
        through: i32,
    },
    /// Check all scripts by every rule, without a build
    Check {
        /// How to write the findings
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Also compare with this git revision: what was sealed there must still be the same
        #[arg(long, value_name = "REV")]
        base: Option<String>,
    },
    /// Explain the rules
    Rules,
}

/// How findings are written.
#[cfg(feature = "local")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For a person
    Text,
    /// One object with a list
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// `90s`, `5m`, `500ms`, `1h`, `1d`; a number alone is seconds.
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().version("0").debug_assert();
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
