//! The HTTP half of the job: one request to a destination, and what its answer means for the message.

use std::time::{Duration, SystemTime};

use onward::{Failure, Message, causes};
use reqwest::header::{self, HeaderValue};
use reqwest::{Client, Response, StatusCode};

/// Sends requests to destinations.
#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

/// What became of a request.
pub(crate) struct Sent {
    /// The answer's status, if there was an answer.
    pub status: Option<StatusCode>,
    /// What becomes of the message.
    pub outcome: Result<(), Failure>,
}

impl Http {
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        // A redirect would lead to a URL that no row of `destinations` names.
        Ok(Self(Client::builder().redirect(reqwest::redirect::Policy::none()).build()?))
    }

    /// Posts a JSON body. 2xx is done; 408, 429, 5xx and no answer come back later; anything else is rejected.
    pub(crate) async fn post(&self, url: String, timeout: Duration, message: &Message, body: String) -> Sent {
        let Ok(key) = HeaderValue::from_str(message.identity()) else {
            let reason = "the message's id has a character that the header Idempotency-Key cannot carry";
            return Sent { status: None, outcome: Err(Failure::reject(reason)) };
        };
        let mut request = self
            .0
            .post(url)
            .timeout(timeout)
            .header("Idempotency-Key", key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(traceparent) = message.traceparent() {
            request = request.header("traceparent", traceparent);
        }
        match request.send().await {
            Ok(response) => Sent { status: Some(response.status()), outcome: judge(&response) },
            // The URL may hold a token, so it is not part of the reason.
            Err(error) => {
                let reason = format!("no answer: {}", causes(&error.without_url()));
                Sent { status: None, outcome: Err(Failure::retry(reason)) }
            }
        }
    }
}

impl Sent {
    /// The word for the outcome in the table `deliveries`.
    pub(crate) fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(()) => "delivered",
            Err(failure) if failure.kind == onward::FailureKind::Reject => "rejected",
            Err(_) => "retrying",
        }
    }
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

/// The delay that the destination asks for, in seconds or as a date.
/// <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let until = |date: SystemTime| date.duration_since(SystemTime::now()).unwrap_or_default();
    value.parse().map(Duration::from_secs).ok().or_else(|| httpdate::parse_http_date(value).ok().map(until))
}
