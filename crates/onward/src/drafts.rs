//! The drafts of a development database, which may change: before the first of them runs, the database is copied, and when one has
//! changed, the copy takes its place.

use onward_migrate::{DatabaseUrl, Divergence, DropTarget, ErrorKind, SchemaState, Session, Status};
use onward_script::Dialect;
use tokio_util::sync::CancellationToken;

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::local::Launch;
use crate::process::exit::CommandError;
use crate::process::terminal::note;
use crate::upgrade::{Progress, UpgradeOptions, upgrade};

/// The name of the copy.
const COPY: &str = "app_before_drafts";

/// Makes the private database ready for the drafts of this binary; a database that somebody has named is left alone.
pub(crate) async fn prepare(context: &Context, database: &ResolvedDatabase) -> Result<(), CommandError> {
    if !is_copied(context, database) {
        return Ok(());
    }
    let Some(first) = context.history.all().find(|script| !script.sealed).map(|script| script.number) else {
        return Ok(());
    };
    let copy = database.url.with_database(COPY);
    let Some(status) = look(context, &database.url).await? else { return Ok(()) };
    if is_changed(&status) {
        let Some(before) = look(context, &copy).await? else { return Ok(()) };
        // A copy from before another history is no way back.
        if matches!(before.state, SchemaState::Behind)
            && before.applied.is_some_and(|applied| applied < first)
        {
            restore(context, &database.url, &copy, first).await?;
        }
        return Ok(());
    }
    let is_before_drafts = status.applied.is_none_or(|applied| applied < first);
    let can_migrate = matches!(status.state, SchemaState::Empty | SchemaState::Behind);
    if !(can_migrate && is_before_drafts && first > context.history.baseline.number) {
        return Ok(());
    }
    let to = Some(first - 1);
    if status.applied != to {
        let options = UpgradeOptions { to, ..UpgradeOptions::default() };
        upgrade(context, &database.url, &options, Progress::Quiet, &CancellationToken::new()).await?;
    }
    // Without a copy a changed draft costs the data, as it does where the database is not ours.
    match onward_migrate::copy(&database.url, &copy).await {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind, ErrorKind::Database) => {
            note(&format!("note: the database was not copied before its first draft: {}", error.message));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the copy, because its database is made anew.
pub(crate) async fn forget(context: &Context, database: &ResolvedDatabase) -> Result<(), CommandError> {
    if !is_copied(context, database) {
        return Ok(());
    }
    let target = DropTarget { name: COPY.to_owned(), is_marked: true };
    Ok(onward_migrate::remove(&database.url.with_database(COPY), &target).await?)
}

/// Whether the database has a copy: it must be ours, and SQL Server has no copy by one statement.
fn is_copied(context: &Context, database: &ResolvedDatabase) -> bool {
    database.is_private() && context.history.dialect == Dialect::Postgres
}

async fn restore(
    context: &Context,
    url: &DatabaseUrl,
    copy: &DatabaseUrl,
    first: i32,
) -> Result<(), CommandError> {
    // A launch whose database goes would reject every message.
    let _launch = Launch::claim(&context.settings)?;
    onward_migrate::replace(url, copy).await?;
    let file = context.history.get(first).map_or_else(String::new, onward_script::Script::file_name);
    note(&format!(
        "a draft has changed: the database is again as it was before {file}; what was written since then is gone"
    ));
    Ok(())
}

/// Whether all that stands against this binary are drafts with another text.
fn is_changed(status: &Status) -> bool {
    let is_draft = |found: &Divergence| matches!(found, Divergence::Edited { is_draft: true, .. });
    status.state == SchemaState::Diverged && status.divergences.iter().all(is_draft)
}

/// The state of a database; `None` if there is no such database.
async fn look(context: &Context, url: &DatabaseUrl) -> Result<Option<Status>, CommandError> {
    match Session::connect(url, &context.reading("drafts")).await {
        Ok(mut session) => Ok(Some(onward_migrate::status(&mut session, &context.history).await?)),
        Err(error) if matches!(error.kind, ErrorKind::MissingDatabase) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use onward_script::{CheckOptions, Content, Digest, Entry, Folder, History, Known, Lock, check};

    use super::*;
    use crate::config::identity::Identity;
    use crate::config::settings::{AppEnv, Settings};

    /// A history whose first `sealed` texts are sealed.
    fn history(sealed: usize, texts: &[&str]) -> History {
        let mut lock = Lock::default();
        let mut entries = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let name = if index == 0 { "Baseline.sql".to_owned() } else { format!("Script-{index:04}.sql") };
            if index < sealed {
                lock.push(&name, Digest::of(text.as_bytes()));
            }
            entries.push(Entry { name, content: Content::File((*text).into()) });
        }
        entries
            .push(Entry { name: "scripts.lock".to_owned(), content: Content::File(lock.to_text().into()) });
        let folder = Folder { path: "sql".to_owned(), entries };
        check(&folder, CheckOptions::default(), &Known::default()).history.expect("passes the rules")
    }

    struct Project(tempfile::TempDir);

    impl Project {
        fn context(&self, history: History) -> Context {
            let settings = Settings {
                env: AppEnv::Development,
                ..Settings::of_database(None, self.0.path().to_owned())
            };
            Context {
                settings,
                history,
                identity: Identity { name: "test".to_owned(), version: "1".to_owned() },
            }
        }

        /// What a launch does before it serves, and then `sql` as the app would.
        async fn launch(&self, history: History, sql: &str) -> Result<String, CommandError> {
            let context = self.context(history);
            let database = ResolvedDatabase::resolve(&context).await?;
            prepare(&context, &database).await?;
            let never = CancellationToken::new();
            upgrade(&context, &database.url, &UpgradeOptions::default(), Progress::Quiet, &never).await?;
            let mut session = Session::connect(&database.url, &context.session("test")).await?;
            let rows = onward_migrate::Engine::texts(&mut session, sql).await?;
            Ok(rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" "))
        }
    }

    #[tokio::test]
    async fn a_changed_draft_runs_again_and_the_data_before_it_stays() {
        const BASELINE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY);";
        const SEALED: &str = "INSERT INTO orders VALUES (1);";
        let project = Project(tempfile::tempdir().expect("a temporary folder can be made"));
        let launch =
            async |history, sql| project.launch(history, sql).await.unwrap_or_else(|error| panic!("{error}"));
        launch(history(2, &[BASELINE, SEALED]), "INSERT INTO orders VALUES (2)").await;

        let draft = |text| history(2, &[BASELINE, SEALED, text]);
        launch(draft("ALTER TABLE orders ADD COLUMN a text;"), "INSERT INTO orders (id, a) VALUES (3, 'x')")
            .await;
        let ids = launch(
            draft("ALTER TABLE orders ADD COLUMN b text;"),
            "SELECT id FROM orders WHERE b IS NULL ORDER BY id",
        );
        assert_eq!(ids.await, "1 2", "what was there before the first draft stays");

        // Once it is sealed, the next draft has a copy of its own.
        let sealed = [BASELINE, SEALED, "ALTER TABLE orders ADD COLUMN b text;"];
        launch(history(3, &sealed), "INSERT INTO orders VALUES (4)").await;
        let next = |text| history(3, &[sealed[0], sealed[1], sealed[2], text]);
        launch(next("INSERT INTO orders VALUES (5);"), "SELECT 1").await;
        let ids = launch(next("INSERT INTO orders VALUES (6);"), "SELECT id FROM orders ORDER BY id").await;
        assert_eq!(ids, "1 2 4 6");

        // An edited sealed script is another matter.
        let other = history(3, &[BASELINE, "INSERT INTO orders VALUES (7);", sealed[2]]);
        let refused = project.launch(other, "SELECT 1").await.expect_err("contradicts the journal");
        assert!(refused.message.contains("Script-0001.sql was applied with another text"), "{refused}");
    }
}
