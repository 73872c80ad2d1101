use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, ErrorKind};

/// How a connection is encrypted, by the words of libpq's `sslmode`.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    #[default]
    Prefer,
    /// Always; the certificate is checked only if `sslrootcert` is given.
    Require,
    /// Always, with a certificate of a trusted authority.
    VerifyCa,
    /// Always, with a certificate of a trusted authority for this very host.
    VerifyFull,
}

/// A PostgreSQL address: `postgres://user:password@host:5432/name?sslmode=verify-full`, or libpq's
/// `key=value` form. It never shows its password.
#[derive(Clone)]
pub struct PostgresUrl {
    pub(crate) config: tokio_postgres::Config,
    mode: TlsMode,
    root_certificate: Option<PathBuf>,
}

impl FromStr for PostgresUrl {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let mut mode = TlsMode::default();
        let mut root_certificate = None;
        let mut keep = |option: &str| -> Result<bool, Error> {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = TlsMode::parse(value)?,
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", value)) => root_certificate = Some(PathBuf::from(value)),
                _ => return Ok(true),
            }
            Ok(false)
        };
        let rest = if url.contains("://") {
            let (address, query) = url.split_once('?').unwrap_or((url, ""));
            let query = retain(query.split('&'), &mut keep)?.join("&");
            if query.is_empty() { address.to_owned() } else { format!("{address}?{query}") }
        } else {
            retain(url.split_whitespace(), &mut keep)?.join(" ")
        };
        let mut config: tokio_postgres::Config = rest.parse().map_err(malformed)?;
        config.ssl_mode(match mode {
            TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
            TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        Ok(Self { config, mode, root_certificate })
    }
}

fn retain<'a>(
    options: impl Iterator<Item = &'a str>,
    keep: &mut impl FnMut(&str) -> Result<bool, Error>,
) -> Result<Vec<&'a str>, Error> {
    let mut kept = Vec::new();
    for option in options.filter(|option| !option.is_empty()) {
        if keep(option)? {
            kept.push(option);
        }
    }
    Ok(kept)
}

fn malformed(error: tokio_postgres::Error) -> Error {
    let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    let message = format!("DATABASE_URL is no PostgreSQL address: {reason}");
    let help = "write it as postgres://USER:PASSWORD@HOST:5432/NAME, and percent-encode special characters in \
                the password";
    Error::new(ErrorKind::Configuration, message, help)
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl fmt::Display for PostgresUrl {
    /// The address without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let hosts: Vec<_> = self.config.get_hosts().iter().map(host_name).collect();
        f.write_str(&hosts.join(","))?;
        if let Some(port) = self.config.get_ports().first() {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

fn host_name(host: &tokio_postgres::config::Host) -> String {
    match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    }
}

impl PostgresUrl {
    /// Another database on the same server.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }

    /// The driver's configuration, for a connection pool; it holds the password.
    #[must_use]
    pub fn driver_config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }
}

impl TlsMode {
    fn parse(word: &str) -> Result<Self, Error> {
        Ok(match word {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let message = format!("DATABASE_URL: `sslmode={word}` is unknown");
                let help = "use disable, prefer, require, verify-ca or verify-full";
                return Err(Error::new(ErrorKind::Configuration, message, help));
            }
        })
    }
}

/// What encrypts a connection to this address.
///
/// # Errors
///
/// If the root certificates cannot be read.
pub fn tls_connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verified = match (url.mode, &url.root_certificate) {
        (TlsMode::VerifyCa | TlsMode::VerifyFull, _) | (TlsMode::Require, Some(_)) => {
            let roots = Arc::new(roots(url)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(verifier.map_err(|error| certificates(&error.to_string()))?)
        }
        _ => None,
    };
    let verifier =
        Verifier { verified, check_name: url.mode == TlsMode::VerifyFull, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc offers the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(reason: &str) -> Error {
    let message = format!("the root certificates cannot be used: {reason}");
    let help = "name a PEM file with `sslrootcert=/path` in DATABASE_URL, or install the system's \
                (ca-certificates)";
    Error::new(ErrorKind::Configuration, message, help)
}

fn roots(url: &PostgresUrl) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &url.root_certificate {
        let reading =
            |error: rustls::pki_types::pem::Error| certificates(&format!("{}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(reading)? {
            let certificate = certificate.map_err(reading)?;
            roots.add(certificate).map_err(|error| certificates(&error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(certificates("there is none"));
    }
    Ok(roots)
}

/// libpq's ladder: no check, check of the authority, check of the name too.
#[derive(Debug)]
struct Verifier {
    verified: Option<Arc<WebPkiServerVerifier>>,
    check_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(verifier) = &self.verified else { return Ok(ServerCertVerified::assertion()) };
        match verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.check_name => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_never_shows_its_password() {
        for url in [
            "postgres://app:hush%40@db.example:5433/orders?sslmode=verify-full&connect_timeout=3",
            "host=db.example port=5433 user=app password=hush dbname=orders sslmode=verify-full",
        ] {
            let url: PostgresUrl = url.parse().expect("is an address");
            assert_eq!(url.to_string(), "postgres://app@db.example:5433/orders");
            assert!(!format!("{url:?}").contains("hush"));
            assert_eq!(url.mode, TlsMode::VerifyFull);
        }
    }

    #[test]
    fn a_malformed_address_is_named_without_being_shown() {
        for url in ["postgres://app:hush@db:notaport/x", "postgres://a:hush@h/x?sslmode=always", "hush"] {
            let error = url.parse::<PostgresUrl>().expect_err("is no address");
            assert!(matches!(error.kind, ErrorKind::Configuration));
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
