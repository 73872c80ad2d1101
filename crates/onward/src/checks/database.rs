use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onward_migrate::{Engine as _, ServerInfo, Session, Status};

use super::{Check, Whole, doubtful, failed, well, wrong};
use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::settings::AppEnv;
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
    match onward_migrate::observe(&mut session, &context.history).await {
        Ok(observed) => {
            let status = Status::assess(&context.history, &observed);
            checks.extend(drift(&mut session, context, &status).await);
            checks.push(if status.may_serve() {
                well("schema", format!("{}, at {:04}", status.state, status.applied.unwrap_or(status.latest)))
            } else {
                failed("schema", context.state_error(&status).into())
            });
        }
        Err(error) => checks.push(failed("schema", error.into())),
    }
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
