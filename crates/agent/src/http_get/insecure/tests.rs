use rcgen::{KeyPair, PublicKeyData};
use rustls::{
    ServerConfig,
    pki_types::PrivateKeyDer,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An element of DER; none here is longer than two bytes of length can tell.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &content].concat()
}

/// A certificate of version 1, which has no version and no extensions. Its signature is none, as nobody looks at it.
fn version_1(key: &KeyPair) -> Vec<u8> {
    let sequence = |parts: &[&[u8]]| der(0x30, parts);
    let ecdsa_with_sha256 = sequence(&[&[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    let day = |text: &str| der(0x17, &[text.as_bytes()]);
    let validity = sequence(&[&day("260101000000Z"), &day("360101000000Z")]);
    let (serial, nobody, public) = (der(0x02, &[&[1]]), sequence(&[]), key.subject_public_key_info());
    let body = sequence(&[&serial, &ecdsa_with_sha256, &nobody, &validity, &nobody, &public]);
    sequence(&[&body, &ecdsa_with_sha256, &der(0x03, &[&[0, 0x30, 0]])])
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_taken_too() {
    let key = KeyPair::generate().unwrap();
    let provider = Arc::new(ring::default_provider());
    let signer = provider
        .key_provider
        .load_private_key(PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let certified = CertifiedKey::new(vec![version_1(&key).into()], signer);
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as _);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await?;
            stream.shutdown().await
        });
        let connected = connect(TcpStream::connect(at).await.unwrap(), "127.0.0.1", Purpose::Probe).await;
        assert!(connected.is_ok(), "{version:?}: {:?}", connected.err());
        serving.await.unwrap().unwrap();
    }
}
