use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;

use crate::error::Error;
use crate::loopback::{self, Loopback};

/// A stub of an external HTTP service: it answers every request with 200 and the body of the request.
#[derive(Debug)]
pub struct Echo {
    url: String,
    _server: Loopback,
}

impl Echo {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    ///
    /// If no port can be opened.
    pub async fn start() -> Result<Self, Error> {
        let (listener, address) = loopback::bind(0).await?;
        let server = loopback::serve(listener, service_fn(answer));
        Ok(Self { url: format!("http://{address}/"), _server: server })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    Ok(match body.collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            tracing::info!(method = %parts.method, bytes = body.len(), "echo received a request");
            http::Response::new(Full::new(body))
        }
        Err(error) => {
            let mut answer = http::Response::new(Full::new(Bytes::from(error.to_string())));
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            answer
        }
    })
}
