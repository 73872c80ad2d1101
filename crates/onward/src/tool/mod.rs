//! `cargo onward`: a new project, and the commands of the scripts for a folder, without an app that embeds it. It also runs where the
//! build is broken.

mod init;
mod template;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use onward_script::{CheckOptions, Dialect};

use crate::cli::{Adopt, Globals, Migrate, Script};
use crate::command;
use crate::command::script::Project;
use crate::config::context::Context;
use crate::config::identity::Identity;
use crate::config::settings::{Settings, project, variable};
use crate::process::exit::{CommandError, Exit};
use crate::process::terminal::{ended, said};
use crate::process::{install_tls, program};

use self::init::Init;

/// Make a new project; write, check and seal a folder of SQL scripts
#[derive(Debug, Parser)]
#[command(name = "cargo onward", bin_name = "cargo onward", version, disable_help_subcommand = true)]
struct Tool {
    /// The folder of the scripts, from the package's root
    #[arg(long, global = true, value_name = "FOLDER", default_value = "sql")]
    scripts: String,
    /// The database that they are written for
    #[arg(long, visible_alias = "database", global = true, value_enum, default_value = "postgres")]
    dialect: Written,
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: ToolCommand,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    Postgres,
    Sqlserver,
}

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Make a new project: an app with its first script, a handler, tests, CI and what a deployment needs
    Init(Init),
    #[command(flatten)]
    Script(Script),
    /// Show what the scripts would do to a database, and do nothing
    Plan(Migrate),
    /// Take over a database that has tables and no journal: record the baseline without running it
    Adopt(Adopt),
    /// Show the schema of a database: its state, and what is pending
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Exit with 4 unless the schema is current
        #[arg(long)]
        exit_code: bool,
    },
}

/// Runs `cargo onward` and returns its exit code: the program `cargo-onward` needs nothing else.
///
/// It works on a folder of scripts without the app that embeds it: for a service that embeds only the migrations, for CI, and
/// where a script breaks the build.
#[must_use]
pub fn cargo_onward() -> ExitCode {
    // Cargo calls `cargo-onward onward …`.
    let arguments = std::env::args_os().enumerate();
    let arguments = arguments.filter(|(place, word)| *place != 1 || word != "onward").map(|(_, word)| word);
    ended(match Tool::try_parse_from(arguments) {
        Ok(tool) => run(tool),
        Err(error) => Ok(said(&error)),
    })
}

fn run(tool: Tool) -> Result<Exit, CommandError> {
    program::set("cargo onward");
    install_tls();
    let dialect = match tool.dialect {
        Written::Postgres => Dialect::Postgres,
        Written::Sqlserver => Dialect::SqlServer,
    };
    let root = project();
    let options = CheckOptions { dialect, release: false, ..CheckOptions::default() };
    let project = Project { root: &root, folder: &tool.scripts, options };
    let identity =
        Identity { name: "cargo onward".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let runtime = tokio::runtime::Runtime::new().map_err(CommandError::fault)?;
    runtime.block_on(async {
        match tool.command {
            ToolCommand::Init(init) => init::run(&init, dialect),
            ToolCommand::Script(script) => command::script::run(&project, &identity.applier(), &script).await,
            ToolCommand::Plan(migrate) => {
                let context = context(&project, tool.globals, identity)?;
                command::migrate::run(&context, &Migrate { plan: true, ..migrate }).await
            }
            ToolCommand::Adopt(adopt) => {
                command::adopt::run(&context(&project, tool.globals, identity)?, &adopt).await
            }
            ToolCommand::Status { json, exit_code } => {
                let options = command::status::Options { as_json: json, by_state: exit_code, drift: None };
                command::status::show(&context(&project, tool.globals, identity)?, &options).await
            }
        }
    })
}

/// The context of a command on a database: the scripts of the folder, and no private servers.
fn context(project: &Project<'_>, globals: Globals, identity: Identity) -> Result<Context, CommandError> {
    let history = project.history()?;
    let database_url = globals.database_url.filter(|url| !url.trim().is_empty());
    let settings = Settings {
        journal_schema: variable("JOURNAL_SCHEMA"),
        ..Settings::of_database(database_url, project.root.to_owned())
    };
    Ok(Context { settings, history, identity })
}
