//! Keys, certificates and pair records: what a Pair exchange leaves on both sides.
//!
//! The phone owns an RSA-2048 key. The host sends certificates, among them one for the phone's
//! key; the phone shows that one in TLS and wants the host's own (or the root's, as
//! libimobiledevice does) in return.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use plist::{Dictionary, Value};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use rsa::pkcs1::{EncodeRsaPublicKey, LineEnding};
use rsa::pkcs8::EncodePrivateKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use crate::identity::Identity;

const KEY_BITS: usize = 2048;

/// Why keys, certificates or records could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// A key or certificate could not be made.
    #[error("cannot make a key or certificate: {0}")]
    Make(String),
    /// The host sent something that is no usable pair record.
    #[error("the pair record is not usable: {0}")]
    Record(&'static str),
}

fn make(error: impl std::fmt::Display) -> PairingError {
    PairingError::Make(error.to_string())
}

/// An RSA-2048 key pair drawn from a seed.
pub struct Key {
    private_pkcs8: Vec<u8>,
    public_pkcs1: Vec<u8>,
    public_pem: String,
}

impl Key {
    /// Draws the key of a seed, once per process.
    ///
    /// # Errors
    /// [`PairingError::Make`] when the arithmetic fails.
    pub fn of_seed(seed: u64) -> Result<Arc<Self>, PairingError> {
        static DRAWN: LazyLock<Mutex<HashMap<u64, Arc<Key>>>> = LazyLock::new(Mutex::default);
        if let Some(key) = DRAWN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&seed)
        {
            return Ok(Arc::clone(key));
        }
        let private =
            rsa::RsaPrivateKey::new(&mut OldRng(ChaCha20Rng::seed_from_u64(seed)), KEY_BITS)
                .map_err(make)?;
        let public = private.to_public_key();
        let key = Arc::new(Self {
            private_pkcs8: private.to_pkcs8_der().map_err(make)?.as_bytes().to_vec(),
            public_pkcs1: public.to_pkcs1_der().map_err(make)?.as_bytes().to_vec(),
            public_pem: public.to_pkcs1_pem(LineEnding::LF).map_err(make)?,
        });
        DRAWN
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(seed, Arc::clone(&key));
        Ok(key)
    }

    /// Returns the public key as lockdown's `DevicePublicKey` gives it: PKCS#1 in PEM.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.private_pkcs8.clone()))
    }

    fn private_pem(&self) -> Result<String, PairingError> {
        Ok(self.signer()?.serialize_pem().replace("\r\n", "\n"))
    }

    fn signer(&self) -> Result<KeyPair, PairingError> {
        let der = PrivatePkcs8KeyDer::from(self.private_pkcs8.as_slice());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).map_err(make)
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public_pkcs1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

/// The `rsa` crate wants the random traits of an older `rand`.
struct OldRng(ChaCha20Rng);

impl rsa::rand_core::RngCore for OldRng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for OldRng {}

/// One computer this phone trusts.
#[derive(Clone)]
pub struct Pairing {
    /// The host's identifier, a UUID.
    pub host_id: String,
    /// The host's usbmuxd installation, a UUID.
    pub system_buid: String,
    /// What lets the host reach protected services of a locked phone: 32 bytes.
    pub escrow_bag: Vec<u8>,
    /// What the host pins.
    device: CertificateDer<'static>,
    tls: Arc<ServerConfig>,
}

impl Pairing {
    /// Takes a host's pair record.
    ///
    /// # Errors
    /// [`PairingError::Record`] when a part is missing, is no certificate, or the device
    /// certificate is not for this phone's key.
    pub fn from_record(
        record: &Dictionary,
        key: &Key,
        escrow_bag: Vec<u8>,
    ) -> Result<Self, PairingError> {
        let host_id = text(record, "HostID").ok_or(PairingError::Record("HostID is missing"))?;
        let system_buid = text(record, "SystemBUID").unwrap_or_default();
        let device = certificate(record, "DeviceCertificate")?;
        let host = certificate(record, "HostCertificate")?;
        let root = certificate(record, "RootCertificate")?;
        if subject_key(&device)? != key.public_pkcs1 {
            return Err(PairingError::Record(
                "DeviceCertificate is not for this phone's key",
            ));
        }
        let tls = Arc::new(server_config(device.clone(), key, vec![host, root])?);
        Ok(Self {
            device,
            host_id,
            system_buid,
            escrow_bag,
            tls,
        })
    }

    /// Returns the certificate that the host made for the phone's key.
    pub(crate) const fn device(&self) -> &CertificateDer<'static> {
        &self.device
    }

    /// Returns how the phone does TLS with this host.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }
}

fn text(record: &Dictionary, key: &str) -> Option<String> {
    record
        .get(key)
        .and_then(Value::as_string)
        .map(ToOwned::to_owned)
}

fn certificate(
    record: &Dictionary,
    key: &'static str,
) -> Result<CertificateDer<'static>, PairingError> {
    let bytes = record
        .get(key)
        .and_then(Value::as_data)
        .ok_or(PairingError::Record("a certificate is missing"))?;
    CertificateDer::from_pem_slice(bytes)
        .map_err(|_| PairingError::Record("a certificate is not PEM"))
}

fn subject_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, PairingError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_| PairingError::Record("a certificate is not X.509"))?;
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}

/// TLS 1.2, as real phones were seen to do it (corpus: ECDHE-RSA-AES256-GCM-SHA384).
fn server_config(
    device: CertificateDer<'static>,
    key: &Key,
    clients: Vec<CertificateDer<'static>>,
) -> Result<ServerConfig, PairingError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signing = rustls::crypto::ring::sign::any_supported_type(&key.private()).map_err(make)?;
    let own = Arc::new(CertifiedKey::new(vec![device], signing));
    let verifier = Arc::new(KnownHost {
        clients,
        provider: Arc::clone(&provider),
    });
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .map_err(make)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Own(own))))
}

/// TLS of somebody who shows any certificate with a key of their own and lets everybody in.
pub(crate) fn impostor_config(
    shown: CertificateDer<'static>,
    key: &Key,
) -> Result<ServerConfig, PairingError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signing = rustls::crypto::ring::sign::any_supported_type(&key.private()).map_err(make)?;
    let own = Arc::new(CertifiedKey::new(vec![shown], signing));
    Ok(ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .map_err(make)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Own(own))))
}

/// Makes a certificate for a key, signed by the key itself.
pub(crate) fn self_signed(key: &Key) -> Result<CertificateDer<'static>, PairingError> {
    let certificate = parameters(IsCa::NoCa)?
        .self_signed(&key.signer()?)
        .map_err(make)?;
    Ok(certificate.der().clone())
}

#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Lets in only who shows a certificate of the pair record and has its key.
#[derive(Debug)]
struct KnownHost {
    clients: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ClientCertVerifier for KnownHost {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self
            .clients
            .iter()
            .any(|known| known.as_ref() == end_entity.as_ref())
        {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::UnknownIssuer,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Makes the record of a computer that was paired before the simulator started.
///
/// Its keys are the same for every phone, as with a computer that pairs many.
///
/// # Errors
/// [`PairingError::Make`] when a key or certificate cannot be made.
pub fn earlier_record(
    identity: &Identity,
    phone: &Key,
    system_buid: &str,
    escrow_bag: &[u8],
) -> Result<Dictionary, PairingError> {
    const ROOT_SEED: u64 = 0x0520_0000_0001;
    const HOST_SEED: u64 = 0x0520_0000_0002;
    let (root, host) = (Key::of_seed(ROOT_SEED)?, Key::of_seed(HOST_SEED)?);
    let ca = parameters(IsCa::Ca(BasicConstraints::Unconstrained))?;
    let leaf = parameters(IsCa::NoCa)?;
    let root_signer = root.signer()?;
    let root_certificate = ca.self_signed(&root_signer).map_err(make)?.pem();
    let issuer = Issuer::from_params(&ca, &root_signer);
    let host_certificate = leaf.signed_by(host.as_ref(), &issuer).map_err(make)?.pem();
    let device_certificate = leaf.signed_by(phone, &issuer).map_err(make)?.pem();
    let data = |text: String| Value::Data(text.replace("\r\n", "\n").into_bytes());
    let mut record = Dictionary::new();
    record.insert("DeviceCertificate".into(), data(device_certificate));
    record.insert("EscrowBag".into(), Value::Data(escrow_bag.to_vec()));
    record.insert("HostCertificate".into(), data(host_certificate));
    record.insert("HostID".into(), host_id(identity).into());
    record.insert("HostPrivateKey".into(), data(host.private_pem()?));
    record.insert("RootCertificate".into(), data(root_certificate));
    record.insert("RootPrivateKey".into(), data(root.private_pem()?));
    record.insert("SystemBUID".into(), system_buid.into());
    record.insert("WiFiMACAddress".into(), identity.wifi_mac.clone().into());
    Ok(record)
}

fn parameters(ca: IsCa) -> Result<CertificateParams, PairingError> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(make)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.is_ca = ca;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2050, 1, 1);
    Ok(params)
}

/// Draws a HostID for a phone that is paired from the start.
fn host_id(identity: &Identity) -> String {
    let mut bytes = [0_u8; 16];
    ChaCha20Rng::seed_from_u64(identity.seed ^ identity.ecid).fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
        .to_uppercase()
}

/// Draws an escrow bag: 32 bytes (corpus, pair_record.json).
pub fn escrow_bag(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0_u8; 32];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Turns a record into the bytes usbmuxd keeps.
///
/// # Errors
/// Only when the record holds something no plist can.
pub fn record_bytes(record: &Dictionary) -> io::Result<Vec<u8>> {
    crate::wire::to_xml(&Value::Dictionary(record.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IosVersion;

    fn identity() -> Identity {
        Identity::draw(
            1,
            "Ada's iPhone",
            "iPhone14,5",
            IosVersion::new(15, 6, 0),
            None,
        )
    }

    #[test]
    fn an_earlier_record_is_one_the_phone_takes() {
        let key = Key::of_seed(1).unwrap();
        let bag = escrow_bag(1);
        let record = earlier_record(&identity(), &key, "BUID", &bag).unwrap();
        let pairing = Pairing::from_record(&record, &key, bag.clone()).unwrap();
        assert_eq!(
            (pairing.system_buid.as_str(), pairing.escrow_bag.len()),
            ("BUID", 32)
        );
        assert_eq!(
            Some(pairing.host_id.as_str()),
            record.get("HostID").and_then(Value::as_string)
        );
        assert!(
            key.public_pem()
                .starts_with("-----BEGIN RSA PUBLIC KEY-----")
        );
    }

    #[test]
    fn a_record_for_another_phone_or_with_a_part_missing_is_refused() {
        let (key, other) = (Key::of_seed(1).unwrap(), Key::of_seed(2).unwrap());
        let record = earlier_record(&identity(), &key, "BUID", &[0; 32]).unwrap();
        assert!(Pairing::from_record(&record, &other, vec![]).is_err());
        for part in [
            "HostID",
            "DeviceCertificate",
            "HostCertificate",
            "RootCertificate",
        ] {
            let mut broken = record.clone();
            broken.remove(part);
            assert!(
                Pairing::from_record(&broken, &key, vec![]).is_err(),
                "{part}"
            );
        }
    }
}
