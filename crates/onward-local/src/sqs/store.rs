//! The queues in a file, so that messages and dead letters outlive the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::message::{Content, ms};
use super::queue::{Queue, Stored};
use super::server::Server;

/// How often changes are written, at the most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the queues of a server are stored.
#[derive(Debug, Clone)]
pub(super) struct Store(PathBuf);

impl Store {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("queues.json"))
    }

    /// Reads the file, if there is one.
    pub(super) fn load(&self, server: &Server) -> io::Result<()> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let stored: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
        let mut queues = server.queues();
        for stored in stored["queues"].as_array().into_iter().flatten() {
            let name = stored["name"].as_str().unwrap_or_default();
            let attributes: BTreeMap<String, String> =
                serde_json::from_value(stored["attributes"].clone()).map_err(io::Error::other)?;
            let mut queue = Queue::new(name, attributes);
            for message in stored["messages"].as_array().into_iter().flatten() {
                queue.add(server.next_key(), read(message));
            }
            queues.insert(name.to_owned(), queue);
        }
        Ok(())
    }

    /// Writes the file, first beside its place, so that nobody finds half of it.
    pub(super) fn save(&self, server: &Server) -> io::Result<()> {
        let queues: Vec<_> = server.queues().values().map(show).collect();
        let beside = self.0.with_extension("new");
        fs::create_dir_all(self.0.parent().unwrap_or(Path::new(".")))?;
        fs::write(&beside, json!({"queues": queues}).to_string())?;
        fs::rename(&beside, &self.0)
    }

    /// Writes changes as they come, until it is dropped.
    pub(super) async fn keep(self, server: Arc<Server>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = server.changes.load(Ordering::Relaxed);
        loop {
            ticks.tick().await;
            let changes = server.changes.load(Ordering::Relaxed);
            if changes == written {
                continue;
            }
            written = changes;
            let (store, server) = (self.clone(), server.clone());
            let begun = Instant::now();
            let saved = tokio::task::spawn_blocking(move || store.save(&server)).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(%error, "the local queues could not be stored");
            }
            // Large queues must not keep the disk busy.
            tokio::time::sleep(begun.elapsed() * 10).await;
        }
    }
}

fn show(queue: &Queue) -> Value {
    let messages: Vec<_> = queue
        .messages
        .values()
        .map(|message| {
            let Stored { id, content, sent, first_received, receive_count, visible_from, source_arn, .. } =
                message;
            json!({
                "id": id,
                "body": content.body,
                "attributes": content.attributes,
                "trace_header": content.trace_header,
                "group": content.group,
                "deduplication": content.deduplication,
                "sent_ms": ms(*sent),
                "first_received_ms": first_received.map(ms),
                "receive_count": receive_count,
                "visible_ms": ms(*visible_from),
                "source_arn": source_arn,
            })
        })
        .collect();
    json!({"name": queue.name, "attributes": queue.attributes, "messages": messages})
}

/// What was in flight is visible at once: whoever had received it has ended with the server.
fn read(message: &Value) -> Stored {
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let time = |name: &str| message[name].as_u64().map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let now = SystemTime::now();
    let was_received = message["first_received_ms"].is_u64();
    Stored {
        id: text("id").unwrap_or_default(),
        content: Content {
            body: text("body").unwrap_or_default(),
            attributes: message["attributes"].as_object().cloned().unwrap_or_default(),
            trace_header: text("trace_header"),
            group: text("group"),
            deduplication: text("deduplication"),
        },
        sent: time("sent_ms").unwrap_or(now),
        first_received: time("first_received_ms"),
        received: None,
        receive_count: message["receive_count"].as_u64().and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
        visible_from: time("visible_ms").filter(|_| !was_received).unwrap_or(now),
        is_in_flight: false,
        source_arn: text("source_arn"),
    }
}
