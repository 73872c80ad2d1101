//! The job: a message names a destination and carries a body. It is done when the destination has the body.

use std::time::Duration;

use onward::tokio_postgres::types::Type;
use onward::{Failure, Json, Message, PgPool, Setup, State};
use serde::Deserialize;

use crate::http::{Http, Sent};

/// The content of a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryRequest {
    /// The name of a row in `destinations`.
    destination: String,
    /// The body for the destination, sent unchanged.
    body: Box<serde_json::value::RawValue>,
}

/// The state that every delivery uses.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pool: PgPool,
    http: Http,
}

/// Builds the state; in development it also points the destination `echo` to the local stub.
pub(crate) async fn setup(
    Setup { database, echo_url, .. }: Setup,
) -> Result<Outbound, Box<dyn std::error::Error + Send + Sync>> {
    let pool = database.postgres()?;
    if let Some(url) = echo_url {
        let upsert = "INSERT INTO destinations (name, url) VALUES ('echo', $1) \
                      ON CONFLICT (name) DO UPDATE SET url = excluded.url";
        pool.get().await?.execute_typed(upsert, &[(&url, Type::TEXT)]).await?;
    }
    Ok(Outbound { pool, http: Http::new()? })
}

/// The destination that a message names, if it is well-formed.
pub(crate) fn destination(message: &Message) -> Option<String> {
    serde_json::from_str::<DeliveryRequest>(&message.body).ok().map(|request| request.destination)
}

/// Delivers one message, and records what became of it.
pub(crate) async fn deliver(
    State(outbound): State<Outbound>,
    message: Message,
    Json(DeliveryRequest { destination, body }): Json<DeliveryRequest>,
) -> Result<(), Failure> {
    let (url, timeout) = outbound.find(&destination).await?;
    let sent = outbound.http.post(url, timeout, &message, body.get().to_owned()).await;
    outbound.record(&message, &destination, &sent).await?;
    tracing::info!(destination, status = sent.status.map(|status| status.as_u16()), "{}", sent.word());
    sent.outcome
}

impl Outbound {
    async fn find(&self, destination: &str) -> Result<(String, Duration), Failure> {
        let query = "SELECT url, timeout_ms FROM destinations WHERE name = $1";
        let row = self.pool.get().await?.query_typed_opt(query, &[(&destination, Type::TEXT)]).await?;
        let row = row.ok_or_else(|| {
            Failure::reject(format!("there is no destination `{destination}`: add a row to destinations"))
        })?;
        let timeout_ms: i64 = row.get(1);
        Ok((row.get(0), Duration::from_millis(timeout_ms.unsigned_abs())))
    }

    async fn record(&self, message: &Message, destination: &str, sent: &Sent) -> Result<(), Failure> {
        let upsert = "INSERT INTO deliveries (message_id, destination, status, http_status, reason, attempts) \
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (message_id) DO UPDATE SET \
                      status = excluded.status, http_status = excluded.http_status, reason = excluded.reason, \
                      attempts = excluded.attempts, updated_at = now()";
        let reason = sent.outcome.as_ref().err().map(|failure| failure.reason.as_str());
        let http_status = sent.status.map(|status| i64::from(status.as_u16()));
        let attempts = i64::from(message.attempt);
        self.pool
            .get()
            .await?
            .execute_typed(
                upsert,
                &[
                    (&message.identity(), Type::TEXT),
                    (&destination, Type::TEXT),
                    (&sent.word(), Type::TEXT),
                    (&http_status, Type::INT8),
                    (&reason, Type::TEXT),
                    (&attempts, Type::INT8),
                ],
            )
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use onward::FailureKind;
    use onward::testing::{TestApp, TestDb};
    use serde_json::json;

    use super::*;
    use crate::{DELIVERIES, app};

    async fn delivery(db: &TestDb, message: &Message) -> Result<(String, Option<String>), Failure> {
        let select = "SELECT status, reason FROM deliveries WHERE message_id = $1";
        let row = db.pool().get().await?.query_one(select, &[&message.id]).await?;
        Ok((row.get(0), row.get(1)))
    }

    #[onward::test]
    async fn a_message_is_delivered_to_its_destination(db: TestDb) -> Result<(), Failure> {
        let app = TestApp::new(app(), &db).await;
        let message = TestApp::message(&json!({"destination": "echo", "body": {"hello": "world"}}));
        app.handle_message(&DELIVERIES, message.clone()).await.outcome?;
        assert_eq!(delivery(&db, &message).await?, ("delivered".to_owned(), None));
        Ok(())
    }

    #[onward::test]
    async fn an_unknown_destination_is_rejected(db: TestDb) {
        let app = TestApp::new(app(), &db).await;
        let message = TestApp::message(&json!({"destination": "nowhere", "body": {}}));
        let failure = app.handle_message(&DELIVERIES, message).await.outcome.expect_err("it is unknown");
        assert_eq!(failure.kind, FailureKind::Reject);
        assert!(failure.reason.starts_with("there is no destination `nowhere`"), "{}", failure.reason);
    }
}
