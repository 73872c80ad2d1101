use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use onward_worker::sqs::{RedrivePolicy, attributes, queue_name, queue_url};
use onward_worker::{Options, QueueErrorKind};

use super::{Check, Worked, doubtful, failed, well, wrong};
use crate::config::permissions::{self, Refused};
use crate::config::queues::{configured_url, queue_url_of, queue_variable, without_dead_letters};
use crate::config::settings::{AppEnv, Settings};
use crate::config::sqs::client;

/// `retention` is how long the inbox keeps a row, where it does not keep all.
pub(super) async fn checks(
    settings: &Settings,
    queues: &[Worked],
    retention: Option<Duration>,
) -> Vec<Check> {
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
                let mut of_queue = queue(&url, options, retention).await;
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

/// Whether the queues to which the app only sends are there.
pub(super) async fn sent_to(settings: &Settings, names: &[&'static str]) -> Vec<Check> {
    let Some(first) = settings.queue_url.as_ref().filter(|_| !names.is_empty()) else { return Vec::new() };
    let client = match client(first, false).await {
        Ok(client) => client,
        Err(error) => return vec![failed("sends to", error)],
    };
    let mut checks = Vec::new();
    for name in names {
        checks.push(match permissions::destination(&client, name, queue_url_of(name)).await {
            Ok(url) => well("sends to", format!("{url} takes messages of this role")),
            Err(Refused { may_pass: true, error }) => {
                doubtful("sends to", error.message, "run `doctor` again")
            }
            Err(Refused { error, .. }) => failed("sends to", error),
        });
    }
    checks
}

async fn queue(url: &str, options: &Options, retention: Option<Duration>) -> Vec<Check> {
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
    let kept = number(Attribute::MessageRetentionPeriod);
    let (of_dead_letters, kept_dead) = redrive(&client, queue_name(url), policy.as_ref(), kept).await;
    checks.extend(of_dead_letters);
    if let (Some(retention), Some(kept)) = (retention, kept) {
        checks.push(inbox(retention, Kept { messages: kept, dead_letters: kept_dead }));
    }
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

/// With it how long dead letters are kept, in seconds.
async fn redrive(
    client: &Client,
    queue: &str,
    policy: Option<&RedrivePolicy>,
    retention: Option<u64>,
) -> (Vec<Check>, Option<u64>) {
    let Some(policy) = policy else {
        let help = "give the queue a RedrivePolicy: without one a message that always fails comes back until it expires, and \
                    the worker cannot reject any";
        return (vec![doubtful("dead letters", "the queue has no dead-letter queue", help)], None);
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
            checks.push(failed("dead-letter queue", without_dead_letters(queue, policy, &error)));
            return (checks, None);
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
    (checks, kept)
}

/// How long a queue keeps what it has, in seconds.
struct Kept {
    messages: u64,
    dead_letters: Option<u64>,
}

/// Whether the inbox recognises a message as long as it may come. A letter that the worker writes is a new message, and so is one that is
/// redriven: the time begins anew in the dead-letter queue, and again in the queue.
fn inbox(retention: Duration, Kept { messages, dead_letters }: Kept) -> Check {
    let longest = dead_letters.map_or(messages, |dead_letters| 2 * messages + dead_letters);
    let days = |seconds: u64| seconds.div_ceil(86_400);
    let keeps = format!("the inbox keeps a row for {} days", days(retention.as_secs()));
    if retention.as_secs() > longest {
        return well("inbox", format!("{keeps}, a message lives for {} at the most", days(longest)));
    }
    let says = format!("{keeps}, but a message may come after {}, and would be handled again", days(longest));
    doubtful("inbox", says, format!("raise `inbox-retention` to {}d", days(longest) + 1))
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
