//! Keys and certificates of the phone, of the computer and of a stranger; made once.

use plist::{Dictionary, Value};
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::Sha256;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::EncodePem;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Validity;

pub const HOST_ID: &str = "11111111-2222-4333-8444-555555555555";
pub const ESCROW_BAG: [u8; 32] = *b"the-escrow-bag-the-escrow-bag-32";
pub const ROOT_KEY_MARK: &[u8] = b"the-root-private-key";

pub struct Keys {
    pub device: RsaPrivateKey,
    pub host: RsaPrivateKey,
    pub stranger: RsaPrivateKey,
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut random = rsa::rand_core::OsRng;
        let mut make = || RsaPrivateKey::new(&mut random, 2048).unwrap();
        Keys {
            device: make(),
            host: make(),
            stranger: make(),
        }
    })
}

/// Makes a self-signed certificate for `key`, in PEM.
pub fn certificate(key: &RsaPrivateKey, name: &str) -> Vec<u8> {
    let info = SubjectPublicKeyInfoOwned::from_key(RsaPublicKey::from(key)).unwrap();
    let signer = SigningKey::<Sha256>::new(key.clone());
    let builder = CertificateBuilder::new(
        Profile::Root,
        SerialNumber::from(0_u8),
        Validity::from_now(std::time::Duration::from_secs(3600)).unwrap(),
        Name::from_str(name).unwrap(),
        info,
        &signer,
    );
    builder
        .unwrap()
        .build()
        .unwrap()
        .to_pem(LineEnding::LF)
        .unwrap()
        .into_bytes()
}

pub fn device_certificate() -> Vec<u8> {
    certificate(&keys().device, "CN=Device")
}

pub fn private_pem(key: &RsaPrivateKey) -> Vec<u8> {
    key.to_pkcs8_pem(LineEnding::LF)
        .unwrap()
        .as_bytes()
        .to_vec()
}

/// `DevicePublicKey` as a phone shows it.
pub fn device_public_key() -> Vec<u8> {
    RsaPublicKey::from(&keys().device)
        .to_pkcs1_pem(LineEnding::LF)
        .unwrap()
        .into_bytes()
}

/// A record as usbmuxd keeps it, with the root key in it.
pub fn record_plist() -> Vec<u8> {
    let host = certificate(&keys().host, "CN=Host");
    let fields: Dictionary = super::dict([
        ("DeviceCertificate", Value::Data(device_certificate())),
        ("EscrowBag", Value::Data(ESCROW_BAG.to_vec())),
        ("HostCertificate", Value::Data(host.clone())),
        ("HostID", HOST_ID.into()),
        ("HostPrivateKey", Value::Data(private_pem(&keys().host))),
        ("RootCertificate", Value::Data(host)),
        ("RootPrivateKey", Value::Data(ROOT_KEY_MARK.to_vec())),
        ("SystemBUID", "99999999-2222-4333-8444-555555555555".into()),
        ("WiFiMACAddress", "a8:bb:cc:00:11:22".into()),
    ]);
    let mut bytes = Vec::new();
    Value::Dictionary(fields).to_writer_xml(&mut bytes).unwrap();
    bytes
}

/// A server that shows `certificate` and signs with `key`, whether or not they belong together.
pub fn server(
    certificate: &[u8],
    key: &RsaPrivateKey,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let key = PrivateKeyDer::from_pem_slice(&private_pem(key)).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let shown = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(shown, key)))));
    Arc::new(config)
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

pub const BOTH: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS12, &rustls::version::TLS13];
pub const ONLY_12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
