//! The operations of SQS by their names.

use std::sync::Arc;

use serde_json::{Value, json};

use super::batch;
use super::error::SqsError;
use super::mover;
use super::request::name_of;
use super::server::{Answer, Server};

/// Answers one operation.
pub(super) async fn answer(server: &Arc<Server>, operation: &str, request: &Value) -> Answer {
    server.changed();
    match operation {
        "CreateQueue" => server.create_queue(request),
        "DeleteQueue" => server.delete_queue(request),
        "GetQueueUrl" => server.get_queue_url(request),
        "ListQueues" => Ok(server.list_queues(request)),
        "GetQueueAttributes" => server.get_queue_attributes(request),
        "SetQueueAttributes" => server.set_queue_attributes(request),
        "TagQueue" => server.tag_queue(request),
        "UntagQueue" => server.untag_queue(request),
        "ListQueueTags" => server.with_queue(request, |queue| Ok(json!({"Tags": queue.tags}))),
        "ListDeadLetterSourceQueues" => server.list_dead_letter_source_queues(request),
        "SendMessage" => server.send_message(request, &name_of(request)?),
        "SendMessageBatch" => server.send_message_batch(request),
        "ReceiveMessage" => server.receive_message(request).await,
        "DeleteMessage" => server.delete_message(request, &name_of(request)?),
        "DeleteMessageBatch" => batch::each(request, |entry, name| server.delete_message(entry, name)),
        "ChangeMessageVisibility" => server.change_visibility(request, &name_of(request)?),
        "ChangeMessageVisibilityBatch" => {
            batch::each(request, |entry, name| server.change_visibility(entry, name))
        }
        "PurgeQueue" => server.purge_queue(request),
        "StartMessageMoveTask" => mover::start(server, request),
        "CancelMessageMoveTask" => server.moves.cancel(request),
        "ListMessageMoveTasks" => server.moves.list(request),
        other => {
            let message = format!("The operation {other} is not served by the local queue.");
            Err(SqsError::new("UnsupportedOperation", message))
        }
    }
}
