//! A client for a queue, made of the queue's URL and the SDK's own variables and files.

use std::fmt;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Region;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use url::Url;

use super::admin::queue_name;
use super::credentials::RereadCredentials;

/// Longer than the longest poll, so that only a call that hangs times out. Most calls are given up earlier: [`answered`](super::error::answered).
const CALL_TIMEOUT: Duration = Duration::from_secs(35);

/// The variable that names the queue.
const QUEUE_URL: &str = "QUEUE_URL";

/// Why a text is not the URL of a queue. It shows nothing of the text, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongUrl {
    reason: String,
}

impl fmt::Display for WrongUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.help())
    }
}

impl std::error::Error for WrongUrl {}

impl WrongUrl {
    /// Why, without the form that it should have.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The form that it should have, and where to find it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        "write it as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME; `aws sqs get-queue-url` shows it"
    }
}

/// The URL that the variable names, and a client for it.
pub(super) async fn from_env() -> Result<(Client, String), FromEnvError> {
    let url = std::env::var(QUEUE_URL).ok();
    // A file of secrets often ends with a line's end.
    let url = url.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| FromEnvError(WrongUrl { reason: "it is not set".to_owned() }))?;
    let client = client_of(&url).await.map_err(FromEnvError)?;
    Ok((client, url))
}

/// Why `QUEUE_URL` names no queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromEnvError(WrongUrl);

impl fmt::Display for FromEnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{QUEUE_URL} names no queue: {}", self.0)
    }
}

impl std::error::Error for FromEnvError {}

/// A client for a queue, with the credentials that the AWS SDK finds: variables, profiles, roles. A file of credentials that is
/// rotated is read again.
///
/// The region is that of `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile, else that of the URL. The endpoint is that of
/// `AWS_ENDPOINT_URL_SQS` or `AWS_ENDPOINT_URL`, else the URL's own, unless it is Amazon's standard one. A call has 35 seconds.
///
/// # Errors
///
/// The text is not the URL of a queue.
pub async fn client_of(queue_url: &str) -> Result<Client, WrongUrl> {
    let place = Place::of(queue_url)?;
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    // The URL comes before the instance metadata, which do not exist everywhere and are slow to fail.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(place.region.map(Region::new));
    let region = region.region().await;
    let credentials = RereadCredentials { http: http.clone(), region: region.clone() };
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts());
    let shared = loader.region(region).credentials_provider(credentials).load().await;
    let is_set =
        ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"].iter().any(|name| std::env::var_os(name).is_some());
    let mut config = aws_sdk_sqs::config::Builder::from(&shared);
    if let Some(endpoint) = place.endpoint.filter(|_| !is_set) {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// A client for a queue of a private server, which takes any credentials. It does not look at the environment.
///
/// # Errors
///
/// The text is not the URL of a queue.
pub fn client_of_private(queue_url: &str) -> Result<Client, WrongUrl> {
    let place = Place::of(queue_url)?;
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
    let mut config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts())
        .credentials_provider(Credentials::new("local", "local", None, None, "onward-local"))
        .region(Region::new("us-east-1"));
    config.set_endpoint_url(place.endpoint);
    Ok(Client::from_conf(config.build()))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build()
}

/// The region and the endpoint that a queue's URL contains.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    region: Option<String>,
    endpoint: Option<String>,
}

impl Place {
    fn of(queue_url: &str) -> Result<Self, WrongUrl> {
        let malformed = |reason: &str| WrongUrl { reason: reason.to_owned() };
        let no_scheme = "it does not begin with https:// and a host";
        let url = Url::parse(queue_url).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase | url::ParseError::EmptyHost => malformed(no_scheme),
            error => malformed(&error.to_string()),
        })?;
        let host = url.host_str().unwrap_or_default();
        if !["http", "https"].contains(&url.scheme()) || host.is_empty() || queue_url.contains(":///") {
            return Err(malformed(no_scheme));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed("it holds a user name"));
        }
        if queue_name(url.path()).is_empty() {
            return Err(malformed("it does not end with the name of a queue"));
        }
        if let Some(region) = region_of(host) {
            // The SDK makes the standard endpoint itself. Another of Amazon's, as one for FIPS, in a VPC or of the dual stack, is
            // the user's choice and stays.
            let is_dual_stack = DUAL_STACK.iter().any(|suffix| host.ends_with(suffix));
            let is_standard = host.starts_with("sqs.") && !is_dual_stack;
            let endpoint = (!is_standard).then(|| url.origin().ascii_serialization());
            return Ok(Self { region: Some(region.to_owned()), endpoint });
        }
        // A server other than Amazon's ignores the region, but the SDK needs one.
        let endpoint = url.origin().ascii_serialization();
        Ok(Self { region: Some("us-east-1".to_owned()), endpoint: Some(endpoint) })
    }
}

/// The region in a host of Amazon's. The forms: <https://docs.aws.amazon.com/general/latest/gr/sqs-service.html>, and for a
/// VPC endpoint <https://docs.aws.amazon.com/vpc/latest/privatelink/create-interface-endpoint.html>.
fn region_of(host: &str) -> Option<&str> {
    let front = SUFFIXES.iter().chain(&DUAL_STACK).find_map(|suffix| host.strip_suffix(suffix))?;
    let labels: Vec<_> = front.split('.').collect();
    match labels[..] {
        ["sqs" | "sqs-fips", region] | [.., "sqs" | "sqs-fips", region, "vpce"] | [region, "queue"] => {
            Some(region)
        }
        ["queue"] => Some("us-east-1"),
        _ => None,
    }
}

/// What the hosts of a partition of AWS end with, and those of its dual stack, as the SDK knows them.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html>
const SUFFIXES: [&str; 7] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];
const DUAL_STACK: [&str; 7] = [
    ".api.aws",
    ".api.amazonwebservices.com.cn",
    ".api.amazonwebservices.eu",
    ".api.aws.ic.gov",
    ".api.aws.scloud",
    ".api.cloud-aws.adc-e.uk",
    ".api.aws.hci.ic.gov",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_url_says_where_the_queue_is() {
        let aws =
            Place::of("https://sqs.eu-west-1.amazonaws.com/123456789012/orders").expect("is a queue's URL");
        assert_eq!(aws, Place { region: Some("eu-west-1".to_owned()), endpoint: None });
        let region = |host: &str| {
            let place = Place::of(&format!("https://{host}/123456789012/orders")).expect("is a queue's URL");
            (place.region.unwrap_or_default(), place.endpoint.is_some())
        };
        for (host, expected, is_kept) in [
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", false),
            ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", true),
            ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false),
            ("sqs.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", false),
            ("sqs.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1", true),
            ("sqs.eu-west-1.api.aws", "eu-west-1", true),
            ("vpce-0a1b-2c3d.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1", true),
            ("vpce-0a1b-2c3d-eu-central-1a.sqs.eu-central-1.vpce.amazonaws.com", "eu-central-1", true),
            ("eu-west-1.queue.amazonaws.com", "eu-west-1", true),
            ("queue.amazonaws.com", "us-east-1", true),
        ] {
            assert_eq!(region(host), (expected.to_owned(), is_kept), "{host}");
        }
        let local = Place::of("http://127.0.0.1:9324/000000000000/orders").expect("is a queue's URL");
        assert_eq!(local.endpoint.as_deref(), Some("http://127.0.0.1:9324"));
        for url in ["", "orders", "https://sqs.eu-west-1.amazonaws.com", "ftp://host/1/orders", "http:///1/x"]
        {
            assert!(Place::of(url).is_err(), "{url}");
        }
    }
}
