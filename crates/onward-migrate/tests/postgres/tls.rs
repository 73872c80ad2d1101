use std::path::Path;
use std::sync::Arc;

use onward_local::PrivatePostgres;
use onward_migrate::rustls::pki_types::CertificateDer;
use onward_migrate::rustls::pki_types::pem::PemObject as _;
use onward_migrate::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use onward_migrate::{Engine as _, Error, Postgres, PostgresUrl, SessionOptions};

use super::world::query;

/// For `localhost` and 127.0.0.1, and of no use elsewhere.
const CERTIFICATE: &str = include_str!("tls/server.crt");
const KEY: &str = include_str!("tls/server.key");

/// A server that offers TLS.
async fn server() -> PrivatePostgres {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-tls");
    let started = tokio::task::spawn_blocking(move || PrivatePostgres::start(&home)).await;
    let server = started.expect("does not panic").expect("PostgreSQL starts");
    let url = server.url("app");
    let folder = query(&url, "SHOW data_directory").await;
    for (name, text) in [("server.crt", CERTIFICATE), ("server.key", KEY)] {
        // The server's own user must own the key, and nobody else may read it.
        let lines = format!("SELECT unnest(string_to_array(trim('{text}', E'\\n'), E'\\n'))");
        query(&url, &format!("COPY ({lines}) TO PROGRAM 'umask 077; cat > \"{folder}/{name}\"'")).await;
    }
    query(&url, "ALTER SYSTEM SET ssl = on").await;
    query(&url, "SELECT pg_reload_conf()").await;
    while query(&url, "SHOW ssl").await != "on" {
        tokio::task::yield_now().await;
    }
    server
}

fn trusting(roots: RootCertStore) -> SessionOptions {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc offers the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    SessionOptions { tls: Some(Arc::new(config)), ..SessionOptions::default() }
}

#[tokio::test]
async fn a_given_configuration_decides_whom_to_trust() {
    let server = server().await;
    let address = server.url("app").replace("sslmode=disable", "sslmode=require");
    let url: PostgresUrl = address.parse().expect("is an address");
    let is_encrypted = async |options: &SessionOptions| {
        let info = Postgres::connect(&url, options).await?.server_info().await;
        Ok::<_, Error>(info.expect("is asked").is_encrypted)
    };
    let trusts_any = SessionOptions::default();
    assert_eq!(is_encrypted(&trusts_any).await.expect("`require` alone checks nothing"), Some(true));

    let own = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).expect("is a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(own).expect("is a certificate");
    assert_eq!(is_encrypted(&trusting(roots)).await.expect("is trusted"), Some(true));

    let disabled: PostgresUrl = server.url("app").parse().expect("is an address");
    let error =
        Postgres::connect(&disabled, &trusting(RootCertStore::empty())).await.err().expect("is refused");
    assert!(error.message.contains("sslmode=disable"), "{error}");

    let error = is_encrypted(&trusting(RootCertStore::empty())).await.expect_err("is not trusted");
    assert!(error.message.contains("invalid peer certificate: UnknownIssuer"), "{error}");
}
