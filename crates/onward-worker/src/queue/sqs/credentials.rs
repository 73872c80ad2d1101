use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sqs::config::{Region, SharedHttpClient};

/// How long credentials without an expiry count. Those of a file may be rotated at any time.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The SDK's own chain, asked anew: the SDK reads a profile's file once in a process's life, and would go on with credentials
/// that were rotated since.
#[derive(Debug)]
pub(super) struct RereadCredentials {
    pub http: SharedHttpClient,
    pub region: Option<Region>,
}

impl ProvideCredentials for RereadCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            // Not kept: it remembers the file.
            let config = ProviderConfig::without_region().with_http_client(self.http.clone());
            let mut chain = DefaultCredentialsChain::builder().configure(config);
            // Without it the chain looks for a region of its own, also in the instance metadata, which are slow to fail elsewhere.
            chain.set_region(self.region.clone());
            let chain = chain.build().await;
            chain.provide_credentials().await.map(|credentials| with_expiry(credentials, SystemTime::now()))
        })
    }
}

fn with_expiry(mut credentials: Credentials, now: SystemTime) -> Credentials {
    credentials.expiry_mut().get_or_insert(now + MAX_AGE);
    credentials
}
