//! TLS with peers of whom no certificate is asked that can be trusted: who says `unverified` means it.
//!
//! Containers that are probed, whose server is asked whether it answers and not who it is; the streaming server of a runtime
//! on this machine, which makes its certificate itself; an API server with `insecure-skip-tls-verify`. Such a connection
//! keeps what is said from those who only listen, and protects from nobody else. Nothing else may use it.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Takes every certificate.
#[must_use]
pub fn verifier(provider: &CryptoProvider) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Anyone(provider.signature_verification_algorithms.supported_schemes()))
}

/// It does not check that the server has its key either: to do so, certificates would have to be read, and some that servers
/// have cannot be (version 1, short RSA keys). Upstream reads them.
#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
