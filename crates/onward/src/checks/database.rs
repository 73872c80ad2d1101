use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onward_migrate::{Engine as _, Error, ServerInfo, Session, Status};
use onward_script::Dialect;

use super::{Check, Whole, doubtful, failed, well, wrong};
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::settings::AppEnv;
use crate::database::read::in_time;
use crate::database::{Database, pool_size};
use crate::options::AppOptions;
use crate::outbox::{Outbox, Rows};

pub(super) async fn checks(context: &Context, whole: &Whole, handlers: usize) -> Vec<Check> {
    let database = match ResolvedDatabase::resolve(context).await {
        Ok(database) => database,
        Err(error) => return vec![failed("database", error)],
    };
    let mut session = match Session::connect(&database.url, &context.reading("doctor")).await {
        Ok(session) => session,
        Err(error) => return vec![failed("database", error.into())],
    };
    let mut checks = vec![well("database", format!("{} answers", database.url))];
    match in_time(onward_migrate::observe(&mut session, &context.history)).await {
        Ok(observed) => {
            let status = Status::assess(&context.history, &observed);
            checks.extend(drift(&mut session, context, &status).await);
            checks.push(if status.may_serve() {
                well("schema", format!("{}, at {:04}", status.state, status.applied.unwrap_or(status.latest)))
            } else {
                failed("schema", context.state_error(&status).into())
            });
        }
        // Whoever waits behind a lock would wait with the next question, too.
        Err(error) => {
            checks.push(failed("schema", error));
            return checks;
        }
    }
    checks.push(
        missing_rights(&mut session, database.url.dialect(), whole)
            .await
            .unwrap_or_else(|error| failed("rights", error.into())),
    );
    match session.server_info().await {
        Ok(info) => {
            let connections = pool_size(&whole.options, handlers);
            checks.extend(server_info(&info, connections, context.settings.env));
            if connections < handlers {
                let help = "raise `database-connections`, or lower `concurrency`, where the handlers use the database";
                let says =
                    format!("{handlers} handlers share {connections} connections, and may wait for one");
                checks.push(doubtful("pool", says, help));
            }
        }
        Err(error) => checks.push(failed("server", error.into())),
    }
    if whole.has_outbox {
        checks.push(match Database::open(&database.url, &context.identity.name, &AppOptions::default(), 1) {
            Ok(database) => outbox(&database).await,
            Err(error) => failed("outbox", error),
        });
    }
    checks
}

/// Whether the objects are those that the scripts make, as far as `schema.lock` tells.
async fn drift(session: &mut Session, context: &Context, status: &Status) -> Option<Check> {
    let applied = status.applied.filter(|applied| context.history.schema_after(*applied).is_some())?;
    Some(match onward_migrate::drift(session, &context.history, applied, false).await {
        Ok(drift) if drift.differences.is_empty() => {
            well("drift", format!("none: {} objects are as the scripts make them", drift.objects))
        }
        Ok(drift) => {
            let help = "put what is wanted into a new script, undo the rest; `status --drift` shows all";
            let first = drift.differences.first().map(ToString::to_string).unwrap_or_default();
            doubtful("drift", format!("{} difference(s), the first: {first}", drift.differences.len()), help)
        }
        Err(error) => failed("drift", error.into()),
    })
}

/// Whether the role has the rights on the app's own tables that `serve` needs, as far as they are there.
async fn missing_rights(session: &mut Session, dialect: Dialect, whole: &Whole) -> Result<Check, Error> {
    let mut wanted = vec![("inbox", "SELECT"), ("inbox", "INSERT")];
    if !whole.options.inbox_retention.is_zero() {
        wanted.push(("inbox", "DELETE"));
    }
    if whole.has_outbox {
        wanted.extend([("outbox", "SELECT"), ("outbox", "INSERT"), ("outbox", "DELETE")]);
    }
    wanted.extend([("schedule", "SELECT"), ("schedule", "INSERT"), ("schedule", "UPDATE")]);
    let rows: Vec<_> = wanted.iter().map(|(table, right)| format!("('{table}', '{right}')")).collect();
    let is_missing = match dialect {
        Dialect::Postgres => "to_regclass(t) IS NOT NULL AND NOT has_table_privilege(t, r)",
        Dialect::SqlServer => "OBJECT_ID(t) IS NOT NULL AND HAS_PERMS_BY_NAME(t, 'OBJECT', r) = 0",
    };
    let select = format!("SELECT t, r FROM (VALUES {}) AS wanted (t, r) WHERE {is_missing}", rows.join(", "));
    let missing: Vec<_> = session
        .texts(&select)
        .await?
        .into_iter()
        .map(|row| {
            let column = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
            (column(0), column(1))
        })
        .collect();
    if missing.is_empty() {
        return Ok(well("tables", "this role may use what the app has of inbox, outbox and schedule"));
    }
    let says: Vec<_> = missing.iter().map(|(table, right)| format!("{right} on {table}")).collect();
    let help: Vec<_> =
        missing.iter().map(|(table, right)| format!("`GRANT {right} ON {table} TO …`")).collect();
    Ok(wrong("tables", format!("this role may not {}", says.join(", ")), help.join(", ")))
}

/// What waits in the outbox.
async fn outbox(database: &Database) -> Check {
    if let Ok(false) = Outbox::of(database).may_park().await {
        let help = "grant it, `GRANT UPDATE (parked) ON outbox TO …`, or a row that can never be sent is sent again and again";
        return wrong("outbox", "the role may not write to the column `parked`", help);
    }
    match Outbox::of(database).rows().await {
        Ok(Rows { parked: 0, waiting, .. }) => {
            well("outbox", format!("{waiting} row(s) wait, none is parked"))
        }
        Ok(Rows { parked, .. }) => {
            let help = "read the reasons with `SELECT id, queue, parked FROM outbox WHERE parked IS NOT NULL`; correct each row \
                        and set `parked` to NULL, or delete it";
            doubtful("outbox", format!("{parked} row(s) are parked: they cannot be sent as they are"), help)
        }
        Err(reason) => {
            let help = "run `app migrate`; the table is described under the outbox in the documentation";
            wrong("outbox", format!("cannot be read: {reason}"), help)
        }
    }
}

/// A larger difference makes leases and logs hard to read. SQS refuses calls from fifteen minutes on.
const MOST_SKEW: Duration = Duration::from_secs(60);

fn server_info(info: &ServerInfo, connections: usize, env: AppEnv) -> Vec<Check> {
    let mut checks = vec![if info.may_create {
        well("rights", "this role may migrate and serve")
    } else {
        well("rights", "this role may serve; `migrate` needs a role that may create tables")
    }];
    if let Some(is_encrypted) = info.is_encrypted {
        checks.push(match (is_encrypted, env) {
            (true, _) => well("TLS", "the connection to the database is encrypted"),
            (false, AppEnv::Development) => well("TLS", "the connection to the database is not encrypted"),
            (false, AppEnv::Production) => {
                let help = "write `sslmode=verify-full` in DATABASE_URL, unless the network is trusted";
                doubtful("TLS", "the connection to the database is not encrypted", help)
            }
        });
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let skew = Duration::from_millis(u64::try_from(info.clock_ms).unwrap_or_default()).abs_diff(now);
    checks.push(if skew > MOST_SKEW {
        let help =
            "synchronise both clocks with a time server; SQS refuses calls from a clock that is far off";
        let says = format!("the clocks of this machine and the database differ by {} s", skew.as_secs());
        doubtful("clock", says, help)
    } else {
        well("clock", "the clocks of this machine and the database agree")
    });
    let most = usize::try_from(info.max_connections).unwrap_or(usize::MAX);
    checks.push(if connections >= most {
        let help = "lower `concurrency`, raise the server's limit, or put a connection pool in front of it";
        let says =
            format!("the handlers may open {connections} connections, but the server accepts only {most}");
        doubtful("connections", says, help)
    } else {
        well("connections", format!("up to {connections} of the server's {most}"))
    });
    checks.push(match info.invalid_indexes.as_slice() {
        [] => well("indexes", "none is invalid"),
        invalid => {
            let help = "drop each with `DROP INDEX CONCURRENTLY`, and create it again in a new script";
            doubtful("indexes", format!("no query uses {}: invalid", invalid.join(", ")), help)
        }
    });
    checks
}
