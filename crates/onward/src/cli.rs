use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use onward_script::import::Tool;

use crate::options::{self, duration};

/// The command line.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The command line with the options of the workers, which a table has.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommand("serve", options::arguments)
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// The database: `postgres://USER:PASSWORD@HOST:5432/NAME`, or a SQL Server address
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The SQS queue: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`
    #[arg(long, global = true, env = "QUEUE_URL", value_name = "URL")]
    pub queue_url: Option<String>,
    /// A file of `NAME=value` lines to add to the environment
    #[arg(long, global = true, env = "ENV_FILE", value_name = "FILE")]
    pub env_file: Option<std::path::PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Process the messages of the queues; starts only on the right schema (the default in development)
    Serve,
    /// Upgrade the database to the scripts of this binary
    Migrate(Migrate),
    /// Take over a database that has tables and no journal: record the baseline without running it
    Adopt(Adopt),
    /// Drop the development database, create it again, and run the baseline and every script
    #[cfg(feature = "local")]
    Rebuild(Rebuild),
    /// Compare the database with the scripts of this binary
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Exit with 4 unless the schema is current and, with `--drift`, is the one that the scripts make
        #[arg(long)]
        exit_code: bool,
        /// Also compare the objects of the database with the schema that the scripts make
        #[arg(long)]
        drift: bool,
        /// With `--drift`: compare grants, too
        #[arg(long, requires = "drift")]
        grants: bool,
    },
    /// Write a script that completes the command line, for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual page, in the format of man(7)
    Man,
    /// Show what was applied to the database: when, by whom and how long it took
    History {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if the schema is current, with 4 if it is not
    Check,
    /// Send messages, inspect queues, and redrive dead letters
    Queue(Queue),
    /// Check configuration, database and queue, and show how to correct each problem
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Install and control the app as a systemd, launchd or Windows service
    #[command(subcommand)]
    Service(Service),
    /// Write, seal and check scripts
    #[cfg(feature = "local")]
    #[command(subcommand)]
    Script(Script),
}

/// The options of `migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Show the scripts that would run and their transactions, and run nothing
    #[arg(long)]
    pub plan: bool,
    /// With `--plan`: also write the SQL that would run to this file, for whoever approves it; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub sql: Option<std::path::PathBuf>,
    /// With `--plan`: also write a page for a change ticket to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<std::path::PathBuf>,
    /// Stop after script N
    #[arg(long, value_name = "N")]
    pub to: Option<i32>,
    /// How long to wait for another migrator
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// How long a statement may wait for a lock of another session; without a limit by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub lock_timeout: Option<Duration>,
    /// Commit consecutive scripts in one transaction
    #[arg(long)]
    pub single_transaction: bool,
}

/// The options of `adopt`.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The last script whose changes the database already contains; by default only the baseline
    #[arg(long, value_name = "N")]
    pub through: Option<i32>,
    /// Take over from a migration tool: its history table names the last script. `auto` finds the tool
    #[arg(long, value_name = "TOOL", conflicts_with = "through", value_parser = origin)]
    pub from: Option<Origin>,
    /// With `--from`: do not ask
    #[arg(long, requires = "from")]
    pub yes: bool,
    /// Do not compare the database with the schema that the scripts make
    #[arg(long)]
    pub unverified: bool,
    /// Compare grants, too
    #[arg(long, conflicts_with = "unverified")]
    pub grants: bool,
    /// How long to wait for another migrator
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
}

/// The options of `rebuild`.
#[cfg(feature = "local")]
#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The database's name, as a confirmation; not needed for the private one or one that `rebuild` made
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// What to do with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Install the service; the system then starts it at boot
    Install(Install),
    /// Stop the service and remove its definition
    Uninstall(Named),
    /// Start the service
    Start(Named),
    /// Stop the service: it drains, then ends
    Stop(Named),
    /// Stop the service and start it again
    Restart(Named),
    /// Show whether the service runs; exits with 0 if it runs, else with 1
    Status(Named),
    /// The command that the service manager runs
    #[cfg(windows)]
    #[command(hide = true)]
    Run(Named),
}

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The name of the service; by default the app's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A suffix for the service's name, to install several instances side by side
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub instance: Option<String>,
    /// Use the user's service manager instead of the system's; not on Windows
    #[arg(long)]
    pub user_level: bool,
}

/// How to install the service.
#[derive(Debug, Args)]
pub(crate) struct Install {
    #[command(flatten)]
    pub named: Named,
    /// Show the definition and install nothing
    #[arg(long)]
    pub print: bool,
    /// The user of the service; by default a dynamic user (systemd) or a virtual account (Windows)
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// How long after a failure the system starts the service again
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub restart_delay: Duration,
    /// Windows: the time without a failure that resets the count of failures; no effect elsewhere
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    pub reset_after: Duration,
    /// Windows: start some minutes after the other services at boot
    #[arg(long, group = "start")]
    pub delayed: bool,
    /// Start only with `service start`, not at boot
    #[arg(long, group = "start")]
    pub manual: bool,
    /// Do not start the service until it is enabled; under systemd the same as `--manual`
    #[arg(long, group = "start")]
    pub disabled: bool,
}

/// A queue and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Queue {
    /// The name of the queue; by default the app's first queue
    #[arg(long, global = true, value_name = "NAME")]
    pub queue: Option<String>,
    #[command(subcommand)]
    pub action: QueueAction,
}

/// What to do with a queue.
/// The messages to send.
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The body; `-` reads it from standard input
    #[arg(conflicts_with = "lines")]
    pub body: Option<String>,
    /// A file with one body in each line; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "deduplication_id"])]
    pub lines: Option<std::path::PathBuf>,
    /// The message group
    #[arg(long, value_name = "ID")]
    pub group: Option<String>,
    /// The deduplication id, for a FIFO queue; by default each message is another one
    #[arg(long, value_name = "ID")]
    pub deduplication_id: Option<String>,
    /// The identity of the message (attribute `onward.id`); by default SQS's id
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// A message attribute of the type String; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    pub attributes: Vec<String>,
    /// How long the message stays hidden at first, up to 15m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub delay: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueAction {
    /// Send messages
    Send(Send),
    /// Count the messages of the queue and of its dead-letter queue
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show messages; this receives them and gives them back at once
    Peek {
        /// The maximum number of messages
        #[arg(long, value_name = "N", default_value_t = 10)]
        max: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show dead letters and their reasons; this receives them and gives them back at once
    Dead {
        /// Count all of them by reason, with numbers and identifiers folded
        #[arg(long, conflicts_with = "max")]
        group: bool,
        /// The maximum number of messages
        #[arg(long, value_name = "N", default_value_t = 10)]
        max: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete dead letters of the queue permanently
    Delete {
        #[command(flatten)]
        which: Which,
        /// The queue's name, as a confirmation
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Delete every message of the queue permanently
    Purge {
        /// The queue's name, as a confirmation
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
    },
    /// Move what is dead now back to the queue; what dies again meanwhile stays dead
    Redrive {
        #[command(flatten)]
        which: Which,
        /// The maximum number of messages
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        max: usize,
    },
}

/// Which dead letters; all without a flag.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Which {
    /// Only those whose body or reason contains this text
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub filter: Option<String>,
    /// Only those of a group that `dead --group` shows
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
    pub group: Option<String>,
    /// Only those with this id; repeat it for more
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub id: Vec<String>,
}

/// What to do with scripts.
#[cfg(feature = "local")]
#[derive(Debug, Subcommand)]
pub(crate) enum Script {
    /// Create the next script
    New {
        /// What the script does, in one line
        title: String,
    },
    /// Seal all drafts; a sealed script must never change
    Seal {
        /// Do not run the scripts on a scratch database to describe the schema that they make
        #[arg(long)]
        without_schema: bool,
    },
    /// Bring the scripts of another migration tool into this folder, in their order and with their old names
    Import {
        /// The tool: dbmate, dbup, flyway, golang-migrate, goose, grate, refinery or sqlx
        #[arg(long, value_name = "TOOL")]
        from: Tool,
        /// The folder of its scripts
        folder: std::path::PathBuf,
    },
    /// Fold the baseline and the sealed scripts up to N into `Baseline-N.sql`
    Squash {
        /// The last script that the new baseline contains
        #[arg(long, value_name = "N")]
        through: i32,
    },
    /// Check all scripts against every rule, without a build
    Check {
        /// The format of the findings
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Also compare with this git revision: scripts that were sealed there must be unchanged
        #[arg(long, value_name = "REV")]
        base: Option<String>,
    },
    /// Explain the rules
    Rules,
}

/// The format of findings.
#[cfg(feature = "local")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text for a person
    Text,
    /// One JSON object with a list
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

/// Which tool to take over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The only one whose history table is there.
    Auto,
    /// This one.
    Tool(Tool),
}

fn origin(text: &str) -> Result<Origin, String> {
    if text == "auto" { Ok(Origin::Auto) } else { text.parse().map(Origin::Tool) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().version("0").debug_assert();
    }
}
