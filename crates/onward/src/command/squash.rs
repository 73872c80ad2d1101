//! `script squash`: the baseline and the scripts up to N become one baseline, by what they make of a database.

use std::path::{Path, PathBuf};
use std::process::Command;

use onward_local::PrivatePostgres;
use onward_migrate::{DatabaseUrl, Doomed, MigrateOptions, Session, SessionOptions};
use onward_script::{Dialect, History, baseline_name};
use tokio_util::sync::CancellationToken;

use crate::command::migrate::{Identity, defaults};
use crate::exit::{Exit, Failed};

/// The text of the new baseline.
pub(crate) async fn baseline(
    root: &Path,
    history: &History,
    through: i32,
    identity: &Identity,
) -> Result<String, Failed> {
    check(history, through)?;
    let home = root.join(".onward").join("postgres");
    let start = move || PrivatePostgres::start(&home);
    let server = tokio::task::spawn_blocking(start).await.map_err(|error| {
        Failed::new(Exit::Failed, error, "this is a fault of the product; please report it")
    })??;
    let scratch = Scratch { server, identity };
    let dumped = scratch.dump(history, through).await?;
    let contract =
        history.floor_at(through) > history.baseline.number || history.baseline.directives.contract;
    let directive = if contract { "-- onward: contract\n" } else { "" };
    let text = format!("-- onward: title Everything up to {through:04}\n{directive}\n{dumped}");

    // A dump that does not make the same database again is no baseline.
    let again = scratch.dump(&alone(history, through, &text)?, through).await?;
    if again != dumped {
        let message = "the dump of the scripts does not make the same database again";
        let help = "write the baseline by hand from `pg_dump`, and compare";
        return Err(Failed::new(Exit::Failed, message, help));
    }
    Ok(text)
}

fn check(history: &History, through: i32) -> Result<(), Failed> {
    if history.dialect == Dialect::SqlServer {
        let name = baseline_name(through);
        let help = format!(
            "run `migrate --to {through}` on an empty database, script its objects and data (SSMS: Tasks, Generate \
             Scripts, schema and data, without schema_journal) into {name}, remove the old baseline and the scripts up \
             to {through}, their lines in scripts.lock too, and run `script seal`"
        );
        return Err(Failed::new(Exit::Usage, "SQL Server has no dump, so a squash is work by hand", help));
    }
    if through <= history.baseline.number || through > history.latest() {
        let message = format!("there is no script {through:04} to squash through");
        let help = format!("give a number from {} to {}", history.baseline.number + 1, history.latest());
        return Err(Failed::new(Exit::Usage, message, help));
    }
    match history.all().find(|script| script.number <= through && !script.sealed) {
        None => Ok(()),
        Some(draft) => {
            let message =
                format!("{} is a draft, and only what never changes can be folded", draft.file_name());
            Err(Failed::new(Exit::Failed, message, "run `script seal` first"))
        }
    }
}

/// A history of the new baseline only.
fn alone(history: &History, through: i32, text: &str) -> Result<History, Failed> {
    let entry = onward_script::Entry {
        name: baseline_name(through),
        content: onward_script::Content::File(text.as_bytes().to_vec()),
    };
    let folder = onward_script::Folder { path: history.folder.clone(), entries: vec![entry] };
    let options = onward_script::Options { dialect: history.dialect, release: false };
    let checked = onward_script::check(&folder, options, &onward_script::Known::default());
    let reasons: Vec<_> = checked.findings.iter().map(|finding| finding.message.as_str()).collect();
    checked.history.ok_or_else(|| {
        let message = format!("the dump does not pass the rules: {}", reasons.join("; "));
        Failed::new(Exit::Failed, message, "write the baseline by hand from `pg_dump`")
    })
}

struct Scratch<'a> {
    server: PrivatePostgres,
    identity: &'a Identity,
}

impl Scratch<'_> {
    /// What a history makes of an empty database, as SQL.
    async fn dump(&self, history: &History, through: i32) -> Result<String, Failed> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("squash_{}_{}", std::process::id(), now.as_nanos());
        let url: DatabaseUrl = self.server.url(&name).parse()?;
        let doomed = Doomed { name: name.clone(), is_marked: true };
        onward_migrate::create(&url, &doomed).await?;
        let options = MigrateOptions {
            to: Some(through),
            wait: defaults().wait,
            single_transaction: false,
            identity: self.identity.for_journal(),
            stop: CancellationToken::new(),
        };
        let mut session = Session::connect(&url, &SessionOptions::default()).await?;
        let migrated = onward_migrate::migrate(&mut session, history, &options, &mut |_| {}).await;
        drop(session);
        let dumped = match migrated {
            Ok(_) => self.pg_dump(&name),
            Err(error) => Err(error.into()),
        };
        onward_migrate::remove(&url, &doomed).await?;
        dumped
    }

    fn pg_dump(&self, database: &str) -> Result<String, Failed> {
        let failed = |reason: &str| {
            let help =
                "install PostgreSQL's client programs of the server's version (Debian: `postgresql-client`)";
            Failed::new(Exit::Failed, format!("pg_dump failed: {}", reason.trim()), help)
        };
        let mut command = Command::new(pg_dump());
        command.args(["--inserts", "--no-owner", "--no-privileges", "--exclude-table=schema_journal"]);
        // The password goes by a file, because every user of the machine sees a command line.
        command.env("PGPASSFILE", self.server.passfile());
        let url: onward_migrate::PostgresUrl = self.server.url(database).parse()?;
        command.arg("--dbname").arg(url.to_string());
        let output = command.output().map_err(|error| failed(&error.to_string()))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr)));
        }
        // psql's own commands guard a restore by psql; here the text goes to the server as it is.
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('\\')).collect();
        Ok(format!("{}\n", lines.join("\n").trim()))
    }
}

/// Beside the server's binaries, or by the PATH.
fn pg_dump() -> PathBuf {
    let name = format!("pg_dump{}", std::env::consts::EXE_SUFFIX);
    let server =
        onward_local::find_binaries().ok().and_then(|folder| folder.join("postgres").canonicalize().ok());
    let beside = server.and_then(|server| Some(server.parent()?.join(&name)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name))
}
