//! The job: a message names a destination and carries a body. It is done when the destination has the body.

use std::time::Duration;

use onward::{Failure, Json, Message, MssqlPool, Setup, State};
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
    pool: MssqlPool,
    http: Http,
}

/// Builds the state; in development it also points the destination `echo` to the local stub.
pub(crate) async fn setup(
    Setup { database, echo_url, .. }: Setup,
) -> Result<Outbound, Box<dyn std::error::Error + Send + Sync>> {
    let pool = database.sql_server()?;
    if let Some(url) = echo_url {
        let upsert = "UPDATE destinations WITH (UPDLOCK, SERIALIZABLE) SET url = @P1 WHERE name = 'echo'; \
                      IF @@ROWCOUNT = 0 INSERT INTO destinations (name, url) VALUES ('echo', @P1)";
        pool.get().await?.execute(upsert, &[&url]).await?;
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
        let query = "SELECT url, timeout_ms FROM destinations WHERE name = @P1";
        let mut connection = self.pool.get().await?;
        let row = connection.query(query, &[&destination]).await?.into_row().await?;
        let row = row.ok_or_else(|| {
            Failure::reject(format!("there is no destination `{destination}`: add a row to destinations"))
        })?;
        let url: &str = row.try_get(0)?.unwrap_or_default();
        let timeout_ms: i64 = row.try_get(1)?.unwrap_or_default();
        Ok((url.to_owned(), Duration::from_millis(timeout_ms.unsigned_abs())))
    }

    async fn record(&self, message: &Message, destination: &str, sent: &Sent) -> Result<(), Failure> {
        let upsert = "UPDATE deliveries WITH (UPDLOCK, SERIALIZABLE) SET status = @P3, http_status = @P4, reason = \
                      NULLIF(@P5, N''), attempts = @P6, updated_at = sysdatetimeoffset() WHERE message_id = @P1; IF @@ROWCOUNT = 0 \
                      INSERT INTO deliveries (message_id, destination, status, http_status, reason, attempts) VALUES \
                      (@P1, @P2, @P3, @P4, NULLIF(@P5, N''), @P6)";
        let reason = sent.outcome.as_ref().err().map_or("", |failure| failure.reason.as_str());
        let http_status = sent.status.map(|status| i64::from(status.as_u16()));
        let attempts = i64::from(message.attempt);
        self.pool
            .get()
            .await?
            .execute(
                upsert,
                &[&message.identity(), &destination, &sent.word(), &http_status, &reason, &attempts],
            )
            .await?;
        Ok(())
    }
}

#[cfg(all(test, feature = "test-sqlserver"))]
mod tests {
    use onward::FailureKind;
    use onward::testing::{TestApp, TestDb};
    use serde_json::json;

    use super::*;
    use crate::{DELIVERIES, app};

    async fn delivery(db: &TestDb, message: &Message) -> Result<(String, Option<String>), Failure> {
        let select = "SELECT status, reason FROM deliveries WHERE message_id = @P1";
        let mut client = db.database().sql_server()?.get().await?;
        let row = client.query(select, &[&message.id]).await?.into_row().await?.expect("is recorded");
        let column = |at| row.try_get::<&str, _>(at).map(|text| text.map(str::to_owned));
        Ok((column(0)?.unwrap_or_default(), column(1)?))
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
