//! `doctor`: one line for each check, with its result and the remedy. It changes nothing: it tests the queue's permissions
//! with malformed requests, which SQS refuses only after it has checked the permission.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_migrate::{Engine as _, Error, ServerInfo, Session, SessionOptions, Status};
use onward_worker::sqs::{RedrivePolicy, attributes, queue_name, queue_url};
use onward_worker::{Options, QueueError, QueueErrorKind};
use serde_json::{Value, json};

use crate::config::context::Context;
use crate::config::database_url::ResolvedDatabase;
use crate::config::settings::{AppEnv, Settings};
use crate::config::sqs::client;
use crate::process::exit::{CommandError, Exit};
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
    queues: &[(&'static str, Options)],
    as_json: bool,
) -> Result<Exit, CommandError> {
    let mut checks = vec![environment(&context.settings)];
    let handlers = queues.iter().map(|(_, options)| options.concurrency).sum();
    checks.extend(database(context, handlers).await);
    checks.extend(queue(&context.settings, queues).await);
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

async fn database(context: &Context, handlers: usize) -> Vec<Check> {
    let database = match ResolvedDatabase::resolve(context).await {
        Ok(database) => database,
        Err(error) => return vec![failed("database", error)],
    };
    let options =
        SessionOptions { application_name: format!("{} doctor", context.identity.name), lock_timeout: None };
    let mut session = match Session::connect(&database.url, &options).await {
        Ok(session) => session,
        Err(error) => return vec![failed("database", error.into())],
    };
    let mut checks = vec![well("database", format!("{} answers", database.url))];
    match session.observe().await {
        Ok(observed) => {
            let status = Status::assess(&context.history, &observed);
            checks.push(if status.may_serve() {
                well("schema", format!("{}, at {:04}", status.state, status.applied.unwrap_or(status.latest)))
            } else {
                failed("schema", Error::state(&status).into())
            });
        }
        Err(error) => checks.push(failed("schema", error.into())),
    }
    match session.server_info().await {
        Ok(info) => checks.extend(server_info(&info, handlers, context.settings.env)),
        Err(error) => checks.push(failed("server", error.into())),
    }
    checks
}

/// A larger difference makes leases and logs hard to read. SQS refuses calls from fifteen minutes on.
const MOST_SKEW: Duration = Duration::from_secs(60);

fn server_info(info: &ServerInfo, handlers: usize, env: AppEnv) -> Vec<Check> {
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
    checks.push(if handlers >= most {
        let help = "lower `concurrency`, raise the server's limit, or put a connection pool in front of it";
        let says =
            format!("{handlers} handlers may open as many connections, but the server accepts only {most}");
        doubtful("connections", says, help)
    } else {
        well("connections", format!("up to {handlers} of the server's {most}"))
    });
    checks
}

async fn queue(settings: &Settings, queues: &[(&'static str, Options)]) -> Vec<Check> {
    let Some(url) = &settings.queue_url else {
        return vec![match settings.env {
            AppEnv::Development => well("queue", "`serve` starts a private one"),
            AppEnv::Production => wrong("queue", "QUEUE_URL is not set", "set it to the queue's URL"),
        }];
    };
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
    if let Some((_, options)) = queues.first() {
        let (limit, lease) = (options.handler_timeout, options.max_lease);
        checks.push(if limit > lease {
            let help = "lower the handler's timeout, or raise `max_lease`";
            wrong(
                "handler timeout",
                format!("{limit:?} is longer than a message can be leased ({lease:?})"),
                help,
            )
        } else {
            well(
                "handler timeout",
                format!("{limit:?}; leases of {:?} are extended meanwhile", options.visibility),
            )
        });
    }
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

/// The permissions that a worker needs, each tested with a request that does nothing.
async fn actions(client: &Client, url: &str) -> Vec<Check> {
    const NO_HANDLE: &str = "onward-doctor";
    let receive = client.receive_message().queue_url(url).max_number_of_messages(11).send().await;
    let delete = client.delete_message().queue_url(url).receipt_handle(NO_HANDLE).send().await;
    let change = client.change_message_visibility().queue_url(url).receipt_handle(NO_HANDLE);
    let change = change.visibility_timeout(0).send().await;
    let tried = [
        ("ReceiveMessage", receive.err().map(|error| kind(&error))),
        ("DeleteMessage", delete.err().map(|error| kind(&error))),
        ("ChangeMessageVisibility", change.err().map(|error| kind(&error))),
    ];
    tried
        .into_iter()
        .map(|(what, refused)| match refused {
            Some(QueueErrorKind::Credentials) => {
                wrong(what, "is not allowed", format!("allow the role `sqs:{what}` on this queue"))
            }
            Some(QueueErrorKind::Network | QueueErrorKind::Throttled) => {
                doubtful(what, "could not be tested", "run `doctor` again")
            }
            _ => well(what, "is allowed"),
        })
        .collect()
}

fn kind<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> QueueErrorKind {
    QueueError::of_sdk(error).kind
}
