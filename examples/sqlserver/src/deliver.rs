//! The job: a message names a destination and carries a body, and is done when the destination has it.

use std::time::Duration;

use onward::{Failure, Json, Message, MssqlPool, Setup, State};
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;

/// What a message says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    /// The name of a row in `destinations`.
    destination: String,
    /// What is sent there, as it is.
    body: Box<serde_json::value::RawValue>,
}

/// What every delivery uses.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pool: MssqlPool,
    http: Client,
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
    // A redirect would lead to a URL that no row names.
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    Ok(Outbound { pool, http })
}

/// Delivers one message: 2xx is done; 408, 429, 5xx and no answer come back later; anything else is rejected.
pub(crate) async fn deliver(
    State(outbound): State<Outbound>,
    message: Message,
    Json(delivery): Json<Delivery>,
) -> Result<(), Failure> {
    let Delivery { destination, body } = delivery;
    let (url, timeout) = outbound.find(&destination).await?;
    let mut request = outbound
        .http
        .post(url)
        .timeout(timeout)
        .header("Idempotency-Key", &message.id)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.get().to_owned());
    if let Some(traceparent) = message.traceparent() {
        request = request.header("traceparent", traceparent);
    }
    let (status, outcome) = match request.send().await {
        Ok(response) => (Some(response.status()), judge(&response)),
        // The URL may hold a token, so it is not part of the reason.
        Err(error) => (None, Err(Failure::retry(format!("no answer: {}", error.without_url())))),
    };
    outbound.record(&message, &destination, status, &outcome).await?;
    tracing::info!(destination, status = status.map(|status| status.as_u16()), "{}", word(&outcome));
    outcome
}

fn judge(response: &Response) -> Result<(), Failure> {
    let status = response.status();
    let reason = format!("the destination answered {status}");
    let again = status.is_server_error()
        || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    match retry_after(response) {
        _ if status.is_success() => Ok(()),
        Some(delay) if again => Err(Failure::retry_after(delay, reason)),
        None if again => Err(Failure::retry(reason)),
        _ => Err(Failure::reject(reason)),
    }
}

/// The delay that the destination asks for, in its form as seconds.
/// <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().map(Duration::from_secs).ok()
}

/// The status in `deliveries`.
fn word(outcome: &Result<(), Failure>) -> &'static str {
    match outcome {
        Ok(()) => "delivered",
        Err(failure) if failure.kind == onward::FailureKind::Reject => "rejected",
        Err(_) => "retrying",
    }
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

    async fn record(
        &self,
        message: &Message,
        destination: &str,
        status: Option<StatusCode>,
        outcome: &Result<(), Failure>,
    ) -> Result<(), Failure> {
        let upsert = "UPDATE deliveries WITH (UPDLOCK, SERIALIZABLE) SET status = @P3, http_status = @P4, reason = \
                      NULLIF(@P5, N''), attempts = @P6, updated_at = sysdatetimeoffset() WHERE message_id = @P1; IF @@ROWCOUNT = 0 \
                      INSERT INTO deliveries (message_id, destination, status, http_status, reason, attempts) VALUES \
                      (@P1, @P2, @P3, @P4, NULLIF(@P5, N''), @P6)";
        let reason = outcome.as_ref().err().map_or("", |failure| failure.reason.as_str());
        let http_status = status.map(|status| i64::from(status.as_u16()));
        let attempts = i64::from(message.receive_count);
        self.pool
            .get()
            .await?
            .execute(
                upsert,
                &[&message.id.as_str(), &destination, &word(outcome), &http_status, &reason, &attempts],
            )
            .await?;
        Ok(())
    }
}
