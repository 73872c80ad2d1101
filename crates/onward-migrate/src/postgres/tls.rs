use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{ClientCertificate, PostgresUrl, TlsMode};
use crate::error::{Error, ErrorKind};

/// Makes the connector that encrypts a connection to this address.
///
/// # Errors
///
/// If a certificate or key cannot be read.
pub fn tls_connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verified = match (url.tls.mode, &url.tls.root_certificate) {
        (TlsMode::VerifyCa | TlsMode::VerifyFull, _) | (TlsMode::Require, Some(_)) => {
            let roots = Arc::new(roots(url)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Some(verifier.map_err(|error| certificates(&error.to_string()))?)
        }
        _ => None,
    };
    let verifier =
        Verifier { verified, check_name: url.tls.mode == TlsMode::VerifyFull, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc offers the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &url.tls.client_certificate {
        Some(files) => with_certificate(config, files)?,
        None => config.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Adds the certificate by which the server identifies its client.
fn with_certificate(
    config: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    ClientCertificate { certificate, key }: &ClientCertificate,
) -> Result<ClientConfig, Error> {
    let chain = pem_certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| certificates(&format!("{}: {error}", key.display())))?;
    config.with_client_auth_cert(chain, key).map_err(|error| certificates(&error.to_string()))
}

fn pem_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable =
        |error: rustls::pki_types::pem::Error| certificates(&format!("{}: {error}", path.display()));
    CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

fn certificates(reason: &str) -> Error {
    let message = format!("the certificates of the database connection cannot be used: {reason}");
    let help = "name PEM files with `sslrootcert=/path`, `sslcert=/path` and `sslkey=/path` in DATABASE_URL; without \
                `sslrootcert` the system's certificates apply (package ca-certificates)";
    Error::new(ErrorKind::Configuration, message, help)
}

fn roots(url: &PostgresUrl) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &url.tls.root_certificate {
        for certificate in pem_certificates(path)? {
            roots.add(certificate).map_err(|error| certificates(&error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(certificates("there is no root certificate"));
    }
    Ok(roots)
}

/// libpq's three levels: no check, a check of the authority, a check of the host's name too.
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
