//! `doctor`: one line for each check, with its result and the remedy. It changes nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_migrate::{Engine as _, ServerInfo, Session, Status};
use onward_worker::sqs::{RedrivePolicy, attributes, queue_name, queue_url};
use onward_worker::{FLUSH, Options, QueueErrorKind};
use serde_json::{Value, json};

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::permissions;
use crate::config::queues::{configured_url, queue_variable};
use crate::config::settings::{AppEnv, Settings};
use crate::config::sqs::client;
use crate::database::{Database, pool_size};
use crate::options::{Origins, SETTINGS};
use crate::outbox::relay::LAST_TURN;
use crate::outbox::{Outbox, Rows};
use crate::process::exit::{CommandError, Exit};
use crate::process::program::named;
use crate::process::terminal::data;

/// One check.
struct Check {
    what: &'static str,
    verdict: Verdict,
    says: String,
    help: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Doubtful,
    Wrong,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Doubtful => "doubt",
            Self::Wrong => "wrong",
        }
    }
}

fn well(what: &'static str, says: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Well, says: says.into(), help: None }
}

fn doubtful(what: &'static str, says: impl Into<String>, help: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Doubtful, says: says.into(), help: Some(help.into()) }
}

fn wrong(what: &'static str, says: impl Into<String>, help: impl Into<String>) -> Check {
    Check { what, verdict: Verdict::Wrong, says: says.into(), help: Some(help.into()) }
}

/// Turns an error into a check.
fn failed(what: &'static str, error: CommandError) -> Check {
    wrong(what, error.message, error.help)
}

pub(crate) async fn run(
    context: &Context,
    worked: &[Worked],
    has_outbox: bool,
    as_json: bool,
) -> Result<Exit, CommandError> {
    let mut checks = vec![environment(&context.settings)];
    let connections = pool_size(worked.iter().map(|(_, options, _)| options.concurrency).sum());
    checks.extend(database(context, connections, has_outbox).await);
    checks.extend(worked.iter().map(options));
    checks.push(stop(worked, has_outbox));
    checks.extend(queues(&context.settings, worked).await);
    for check in &mut checks {
        check.says = named(&check.says);
        check.help = check.help.as_deref().map(named);
    }
    let is_well = checks.iter().all(|check| check.verdict != Verdict::Wrong);
    if as_json {
        let all: Vec<_> = checks.iter().map(as_value).collect();
        data(&json!({"healthy": is_well, "checks": all}).to_string())?;
    } else {
        for check in &checks {
            data(&format!("{:6} {:24} {}", check.verdict.word(), check.what, check.says))?;
            if let Some(help) = &check.help {
                data(&format!("       {:24} help: {help}", ""))?;
            }
        }
    }
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// A queue of the app, its options, and where those come from that the environment has set.
type Worked = (&'static str, Options, Origins);

/// The options of a queue that differ from the defaults.
fn options((queue, options, origins): &Worked) -> Check {
    let defaults = Options::default();
    let set = SETTINGS.iter().filter_map(|setting| {
        let value = setting.show(options);
        let origin =
            origins.iter().find(|(flag, _)| *flag == setting.flag).map(|(_, origin)| origin.as_str());
        let is_default = origin.is_none() && value == setting.show(&defaults);
        (!is_default).then(|| format!("{} {value} (from {})", setting.flag, origin.unwrap_or("the app")))
    });
    let set: Vec<_> = set.collect();
    let says = match set.is_empty() {
        true => format!("{queue}: the defaults"),
        false => format!("{queue}: {}; else the defaults", set.join(", ")),
    };
    well("options", says)
}

/// How long a stop may take, and whether ECS waits so long.
fn stop(worked: &[Worked], has_outbox: bool) -> Check {
    let grace = worked.iter().map(|(_, options, _)| options.grace).max().unwrap_or_default();
    let outbox = if has_outbox { LAST_TURN } else { Duration::ZERO };
    let longest = grace + FLUSH + outbox;
    let says = format!(
        "takes up to {longest:?}: {grace:?} for handlers, {FLUSH:?} for the last deletes{}",
        if has_outbox { format!(", {outbox:?} for the outbox") } else { String::new() }
    );
    if longest > ECS_PATIENCE && std::env::var_os("ECS_CONTAINER_METADATA_URI_V4").is_some() {
        let seconds = longest.as_secs() + 5;
        let help = format!(
            "set `stopTimeout` of the container to {seconds}, up to 120, or lower --stop-grace: ECS kills the process after 30s by default"
        );
        return doubtful("stop", says, help);
    }
    well("stop", says)
}

/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#container_definition_timeout>
const ECS_PATIENCE: Duration = Duration::from_secs(30);

fn as_value(check: &Check) -> Value {
    json!({"check": check.what, "verdict": check.verdict.word(), "says": check.says, "help": check.help})
}

fn environment(settings: &Settings) -> Check {
    let env = match settings.env {
        AppEnv::Development => "development",
        AppEnv::Production => "production",
    };
    let set = settings.origins.iter().map(|(name, origin)| match origin {
        None => format!("{name} is not set"),
        Some(origin) => format!("{name} comes from {origin}"),
    });
    well("configuration", format!("{env}; {}", set.collect::<Vec<_>>().join(", ")))
}

async fn database(context: &Context, connections: usize, has_outbox: bool) -> Vec<Check> {
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
        Ok(info) => checks.extend(server_info(&info, connections, context.settings.env)),
        Err(error) => checks.push(failed("server", error.into())),
    }
    if has_outbox {
        checks.push(match Database::open(&database.url, &context.identity.name, 1) {
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

async fn queues(settings: &Settings, queues: &[Worked]) -> Vec<Check> {
    let Some(first) = &settings.queue_url else {
        return vec![match settings.env {
            AppEnv::Development => well("queue", "`serve` starts a private one"),
            AppEnv::Production => wrong("queue", "QUEUE_URL is not set", "set it to the queue's URL"),
        }];
    };
    let mut checks = Vec::new();
    for (index, (name, options, _)) in queues.iter().enumerate() {
        match configured_url(first, index, name) {
            Some(url) => {
                let mut of_queue = queue(&url, options).await;
                if queues.len() > 1 {
                    of_queue.iter_mut().for_each(|check| check.says = format!("{name}: {}", check.says));
                }
                checks.extend(of_queue);
            }
            None => {
                let variable = queue_variable(name);
                let says = format!("{variable} is not set, but a handler works the queue `{name}`");
                checks.push(wrong("queue", says, format!("set {variable} to the queue's URL")));
            }
        }
    }
    checks
}

async fn queue(url: &str, options: &Options) -> Vec<Check> {
    let client = match client(url, false).await {
        Ok(client) => client,
        Err(error) => return vec![failed("queue", error)],
    };
    let all = match attributes(&client, url, &[Attribute::All]).await {
        Ok(all) => all,
        Err(error) => return vec![failed("queue", error.into())],
    };
    let number = |name: Attribute| all.get(&name).and_then(|text| text.parse::<u64>().ok());
    let mut checks = vec![well("queue", format!("{} answers", queue_name(url)))];
    checks.extend(actions(&client, url).await);

    let policy = all.get(&Attribute::RedrivePolicy).and_then(|text| RedrivePolicy::parse(text));
    checks.extend(redrive(&client, policy.as_ref(), number(Attribute::MessageRetentionPeriod)).await);
    let (limit, lease) = (options.handler_timeout, options.max_lease);
    checks.push(if limit > lease {
        let help = "lower the handler's timeout, or raise `max_lease`";
        let says = format!("{limit:?} is longer than a message can be leased ({lease:?})");
        wrong("handler timeout", says, help)
    } else {
        let says = format!("{limit:?}; leases of {:?} are extended meanwhile", options.visibility);
        well("handler timeout", says)
    });
    checks
}

async fn redrive(client: &Client, policy: Option<&RedrivePolicy>, retention: Option<u64>) -> Vec<Check> {
    let Some(policy) = policy else {
        let help = "give the queue a RedrivePolicy: without one a message that always fails comes back until it expires, and \
                    the worker cannot reject any";
        return vec![doubtful("dead letters", "the queue has no dead-letter queue", help)];
    };
    let count = policy.max_receive_count;
    let mut checks = vec![if count < 3 {
        let help = "raise maxReceiveCount to 5 or more: each deployment and each crash may cost a message \
                    one receive";
        doubtful("dead letters", format!("a message is dead after {count} receive(s)"), help)
    } else {
        well("dead letters", format!("a message is dead after {count} receives"))
    }];
    let dead = match queue_url(client, policy.name(), Some(policy.account())).await {
        Ok(dead) => dead,
        Err(error) => {
            checks.push(failed("dead-letter queue", error.into()));
            return checks;
        }
    };
    let kept = attributes(client, &dead, &[Attribute::MessageRetentionPeriod]).await;
    let kept = kept.ok().and_then(|all| all.get(&Attribute::MessageRetentionPeriod)?.parse::<u64>().ok());
    if let (Some(kept), Some(retention)) = (kept, retention) {
        // A dead letter keeps the time at which it was first sent.
        checks.push(if kept <= retention {
            let help = "raise the dead-letter queue's retention to 14 days: it counts from the first send";
            doubtful("retention", "dead letters are kept no longer than messages", help)
        } else {
            well("retention", format!("dead letters are kept for {} days", kept / 86_400))
        });
    }
    checks
}

async fn actions(client: &Client, url: &str) -> Vec<Check> {
    let checks = permissions::probe(client, url).await.into_iter().map(|probed| match probed.refused {
        _ if probed.is_denied() => {
            wrong(probed.action, format!("is not allowed on {}", probed.on), probed.help())
        }
        Some(QueueErrorKind::Network | QueueErrorKind::Throttled) => {
            doubtful(probed.action, "could not be tested", "run `doctor` again")
        }
        _ => well(probed.action, format!("is allowed on {}", probed.on)),
    });
    checks.collect()
}
