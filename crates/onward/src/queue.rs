use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Credentials, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use crate::exit::{Exit, Failed};

/// Longer than the longest poll, so that only a call that hangs is cut off.
const CALL_TIMEOUT: Duration = Duration::from_secs(35);

/// A client for the queue, configured by the AWS SDK's own variables and files.
///
/// What `QUEUE_URL` says of its region and, for a server that is not Amazon's, of its endpoint is used where
/// the SDK was not told otherwise.
pub(crate) async fn client(queue_url: &str, local: bool) -> Result<Client, Failed> {
    let place = Place::of(queue_url)?;
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build();
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
    if local {
        let credentials = Credentials::new("local", "local", None, None, "onward-local");
        loader = loader.credentials_provider(credentials).region(Region::new("us-east-1"));
    } else {
        // The URL says it before the instance metadata are asked, which do not answer everywhere and take their time.
        let told = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(place.region.map(Region::new));
        loader = loader.region(told);
    }
    let shared = loader.load().await;
    let mut config = aws_sdk_sqs::config::Builder::from(&shared);
    let told =
        ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"].iter().any(|name| std::env::var_os(name).is_some());
    if let Some(endpoint) = place.endpoint.filter(|_| local || !told) {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// What the URL of a queue says.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    region: Option<String>,
    endpoint: Option<String>,
}

impl Place {
    fn of(queue_url: &str) -> Result<Self, Failed> {
        let malformed = || {
            let help = "write it as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME; `aws sqs get-queue-url` \
                        shows it";
            let shown = if queue_url.contains('@') { "it holds a user name" } else { queue_url };
            Failed::new(Exit::Configuration, format!("QUEUE_URL is no queue's address: {shown}"), help)
        };
        let (scheme, rest) = queue_url.split_once("://").ok_or_else(malformed)?;
        let (host, path) = rest.split_once('/').ok_or_else(malformed)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || host.is_empty() || host.contains('@') || name.is_empty() {
            return Err(malformed());
        }
        if host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn") {
            let region = host.strip_prefix("sqs.").and_then(|host| host.split('.').next());
            return Ok(Self { region: region.map(str::to_owned), endpoint: None });
        }
        // A server that is not Amazon's does not mind the region, and the SDK wants one.
        Ok(Self { region: Some("us-east-1".to_owned()), endpoint: Some(format!("{scheme}://{host}")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_url_says_where_the_queue_is() {
        let aws = Place::of("https://sqs.eu-west-1.amazonaws.com/123456789012/orders").expect("is one");
        assert_eq!(aws, Place { region: Some("eu-west-1".to_owned()), endpoint: None });
        let local = Place::of("http://127.0.0.1:9324/000000000000/orders").expect("is one");
        assert_eq!(local.endpoint.as_deref(), Some("http://127.0.0.1:9324"));
        for url in ["", "orders", "https://sqs.eu-west-1.amazonaws.com", "ftp://host/1/orders", "http:///1/x"]
        {
            assert_eq!(Place::of(url).expect_err("is none").exit, Exit::Configuration, "{url}");
        }
    }
}
