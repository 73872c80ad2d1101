//! What a message move task does.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::SqsError;
use super::message::random_id;
use super::move_tasks::Task;
use super::queue::{Policy, Stored};
use super::server::{Server, no_queue};

fn name_of(arn: &str) -> String {
    arn.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Starts a task; there is one at a time for a queue.
pub(super) fn start(server: &Arc<Server>, request: &Value) -> Result<Value, SqsError> {
    let source_arn = request["SourceArn"].as_str().ok_or_else(|| SqsError::missing("SourceArn"))?.to_owned();
    let destination_arn = request["DestinationArn"].as_str().map(str::to_owned);
    let per_second = request["MaxNumberOfMessagesPerSecond"].as_u64();
    let source = name_of(&source_arn);
    let to_move = {
        let mut queues = server.queues();
        let is_dead_letter_queue =
            queues.values().any(|queue| Policy::of(queue).is_some_and(|policy| policy.name == source));
        let counts = queues.get_mut(&source).ok_or_else(no_queue)?.counts();
        if !is_dead_letter_queue {
            return Err(SqsError::invalid("Source queue must be configured as a Dead Letter Queue."));
        }
        if destination_arn.as_deref().is_some_and(|arn| !queues.contains_key(&name_of(arn))) {
            return Err(no_queue());
        }
        counts.0
    };
    let handle = random_id();
    server.moves.begin(Task {
        handle: handle.clone(),
        source_arn,
        destination_arn: destination_arn.clone(),
        per_second,
        status: "RUNNING",
        moved: 0,
        to_move: to_move as u64,
        started: SystemTime::now(),
    })?;
    let task = run(server.clone(), handle.clone(), source, destination_arn, per_second.unwrap_or(500));
    tokio::spawn(task);
    Ok(json!({"TaskHandle": handle}))
}

async fn run(
    server: Arc<Server>,
    handle: String,
    source: String,
    destination: Option<String>,
    per_second: u64,
) {
    let mut ticks = tokio::time::interval_at(
        Instant::now(),
        Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(1),
    );
    while server.moves.is_running(&handle) {
        ticks.tick().await;
        if !move_one(&server, &source, destination.as_deref()) {
            server.moves.update(&handle, |task| task.status = "COMPLETED");
            return;
        }
        server.moves.update(&handle, |task| task.moved += 1);
        server.changed();
    }
}

/// Moves one message, which gets a new id, a new time of sending and no receives.
fn move_one(server: &Server, source: &str, destination: Option<&str>) -> bool {
    let mut queues = server.queues();
    let Some(queue) = queues.get_mut(source) else { return false };
    let Ok((taken, _)) = queue.receive(1, Duration::from_secs(30), None) else { return false };
    let Some(message) = taken.first().and_then(|key| queue.remove(*key)) else { return false };
    let target = destination.map(name_of).or_else(|| message.source_arn.as_deref().map(name_of));
    let now = SystemTime::now();
    let moved = Stored {
        id: random_id(),
        sent: now,
        visible_from: now,
        first_received: None,
        received: None,
        receive_count: 0,
        is_in_flight: false,
        source_arn: None,
        ..message
    };
    let key = server.next_key();
    match target.and_then(|target| queues.get_mut(&target)) {
        Some(target) => target.add(key, moved),
        // Without a place to go it stays.
        None => {
            if let Some(queue) = queues.get_mut(source) {
                queue.add(key, moved);
            }
            return false;
        }
    }
    true
}
