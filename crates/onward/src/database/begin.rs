use std::sync::Arc;

use onward_migrate::{Postgres, PostgresUrl};
use tokio::sync::OnceCell;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::errors::causes;

/// How a transaction begins on the connections of a pool.
///
/// The driver numbers its prepared statements in each process. PgBouncer in transaction mode gives a session of the server to one
/// program after the other, so that a name may be taken there already. Since its version 1.21 PgBouncer can give them names of its
/// own. Where it does not, a transaction first drops all that are there.
/// <https://www.pgbouncer.org/config.html#max_prepared_statements>
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    url: Arc<PostgresUrl>,
    statement: Arc<OnceCell<&'static str>>,
}

/// The setting lasts as long as the transaction, so [`COMMIT`] recognises it.
const PLAIN: &str = "BEGIN; SET LOCAL onward.transaction = 'open'";
const BY_ITSELF: &str = "BEGIN; SET LOCAL onward.transaction = 'open'; DEALLOCATE ALL";

/// The text of [`CHECK`], for [`COMMIT`] too.
macro_rules! check {
    () => {
        "SELECT 1 / (coalesce(current_setting('onward.transaction', true), '') = 'open')::int"
    };
}

/// Fails in a transaction that no [`Begin`] has begun, and in one in which a statement has failed.
pub(crate) const CHECK: &str = check!();

/// Commits the transaction that a [`Begin`] has begun, and no other. PostgreSQL answers the COMMIT of a transaction that a statement
/// has failed in with success, and rolls back. The first statement fails in such a transaction, and the COMMIT does not run; in
/// another transaction it divides by zero.
/// <https://www.postgresql.org/docs/current/sql-commit.html>, <https://www.postgresql.org/docs/current/protocol-flow.html>
pub(crate) const COMMIT: &str = concat!(check!(), "; COMMIT");

impl Begin {
    pub(crate) fn new(url: PostgresUrl) -> Self {
        Self { url: Arc::new(url), statement: Arc::default() }
    }

    /// The statements that begin a transaction on a connection of the pool. The first call finds out.
    pub(crate) async fn statement(&self, client: &Client) -> Result<&'static str, String> {
        self.statement.get_or_try_init(|| self.find(client)).await.copied()
    }

    /// Whether a prepared statement stays for the next transaction of its connection, after a call of [`Begin::statement`].
    pub(crate) fn keeps_statements(&self) -> bool {
        self.statement.get() == Some(&PLAIN)
    }

    async fn find(&self, client: &Client) -> Result<&'static str, String> {
        let is_pooled = Postgres::is_pooled(&self.url).await.map_err(|error| causes(&error))?;
        if !is_pooled || renames_statements(client).await.map_err(|error| causes(&error))? {
            return Ok(PLAIN);
        }
        tracing::warn!(
            "DATABASE_URL leads to a connection pool that keeps no prepared statements: use `PgTx`, and `query_typed` or a \
             transaction with `DEALLOCATE ALL` elsewhere; PgBouncer keeps them since 1.21 with max_prepared_statements"
        );
        Ok(BY_ITSELF)
    }
}

/// Whether the pool gives prepared statements names of its own.
async fn renames_statements(client: &Client) -> Result<bool, tokio_postgres::Error> {
    client.batch_execute(PLAIN).await?;
    let found = async {
        let _statement = client.prepare("SELECT 1").await?;
        let renamed = "SELECT 1 FROM pg_prepared_statements WHERE name LIKE 'PGBOUNCER_%' LIMIT 1";
        client.query_typed_opt(renamed, &[]).await
    };
    let found = found.await;
    client.batch_execute("ROLLBACK").await?;
    match found {
        Ok(row) => Ok(row.is_some()),
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) => Ok(false),
        Err(error) => Err(error),
    }
}
