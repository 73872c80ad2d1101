//! Message move tasks: a dead-letter queue's messages go back to where they came from.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::error::SqsError;
use super::message::ms;
use serde_json::{Value, json};

/// The tasks, the latest last.
#[derive(Debug, Default)]
pub(super) struct MoveTasks(Mutex<Vec<Task>>);

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub handle: String,
    pub source_arn: String,
    pub destination_arn: Option<String>,
    pub per_second: Option<u64>,
    pub status: &'static str,
    pub moved: u64,
    pub to_move: u64,
    pub started: SystemTime,
}

impl MoveTasks {
    /// Adds a task, unless one of its queue is running.
    pub(super) fn begin(&self, task: Task) -> Result<(), SqsError> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.iter().any(|other| other.source_arn == task.source_arn && other.status == "RUNNING") {
            let message = "There is already a task running. Only one active task is allowed for a source queue arn at a given \
                           time.";
            return Err(SqsError::new("UnsupportedOperation", message));
        }
        tasks.push(task);
        Ok(())
    }

    pub(super) fn update(&self, handle: &str, change: impl FnOnce(&mut Task)) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.iter_mut().find(|task| task.handle == handle) {
            change(task);
        }
    }

    pub(super) fn is_running(&self, handle: &str) -> bool {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().any(|task| task.handle == handle && task.status == "RUNNING")
    }

    pub(super) fn cancel(&self, request: &Value) -> Result<Value, SqsError> {
        let handle = request["TaskHandle"].as_str().unwrap_or_default();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let task = tasks.iter_mut().find(|task| task.handle == handle && task.status == "RUNNING");
        let task = task.ok_or_else(|| {
            SqsError::new(
                "ResourceNotFoundException",
                "The resource that you specified for the TaskHandle doesn't exist.",
            )
        })?;
        task.status = "CANCELLED";
        Ok(json!({"ApproximateNumberOfMessagesMoved": task.moved}))
    }

    pub(super) fn list(&self, request: &Value) -> Result<Value, SqsError> {
        let source = request["SourceArn"].as_str().ok_or_else(|| SqsError::missing("SourceArn"))?;
        let most = usize::try_from(request["MaxResults"].as_u64().unwrap_or(1)).unwrap_or(1);
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = tasks.iter().rev().filter(|task| task.source_arn == source).take(most).map(|task| {
            let mut shown = json!({
                "Status": task.status,
                "SourceArn": task.source_arn,
                "ApproximateNumberOfMessagesMoved": task.moved,
                "ApproximateNumberOfMessagesToMove": task.to_move,
                "StartedTimestamp": ms(task.started),
            });
            if task.status == "RUNNING" {
                shown["TaskHandle"] = task.handle.clone().into();
            }
            if let Some(arn) = &task.destination_arn {
                shown["DestinationArn"] = arn.clone().into();
            }
            if let Some(most) = task.per_second {
                shown["MaxNumberOfMessagesPerSecond"] = most.into();
            }
            shown
        });
        Ok(json!({"Results": shown.collect::<Vec<_>>()}))
    }
}
