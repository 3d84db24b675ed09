//! The keys and certificates of a new pairing.
//!
//! The authority's key signs two certificates and is dropped: it is neither sent nor kept.

use crate::DeviceError;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::Sha256;
use std::time::{Duration, SystemTime};
use x509_cert::builder::{Builder, CertificateBuilder, Profile};
use x509_cert::der::EncodePem;
use x509_cert::der::asn1::UtcTime;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

const BITS: usize = 2048;
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks differ; the certificates are good since yesterday.
const BACKDATED: Duration = Duration::from_secs(24 * 60 * 60);

/// What a pairing is made of; all PEM.
pub(crate) struct Certificates {
    pub(crate) root: Vec<u8>,
    pub(crate) host: Vec<u8>,
    pub(crate) host_key: Zeroizing<Vec<u8>>,
    pub(crate) device: Vec<u8>,
}

/// Makes the keys and certificates for a phone with this public key (PKCS#1 in PEM). Takes
/// about a second: for a blocking thread.
pub(crate) fn make(device_public_key: &[u8], now: SystemTime) -> Result<Certificates, DeviceError> {
    let text = std::str::from_utf8(device_public_key).map_err(keys)?;
    let device_key = RsaPublicKey::from_pkcs1_pem(text.trim()).map_err(keys)?;
    let mut random = rsa::rand_core::OsRng;
    let root_key = RsaPrivateKey::new(&mut random, BITS).map_err(keys)?;
    let host_key = RsaPrivateKey::new(&mut random, BITS).map_err(keys)?;
    let leaf = || Profile::Leaf {
        issuer: Name::default(),
        enable_key_agreement: false,
        enable_key_encipherment: true,
    };
    let pem = host_key.to_pkcs8_pem(LineEnding::LF).map_err(keys)?;
    Ok(Certificates {
        root: certificate(
            Profile::Root,
            &RsaPublicKey::from(&root_key),
            &root_key,
            now,
        )?,
        host: certificate(leaf(), &RsaPublicKey::from(&host_key), &root_key, now)?,
        host_key: Zeroizing::new(pem.as_bytes().to_vec()),
        device: certificate(leaf(), &device_key, &root_key, now)?,
    })
}

fn certificate(
    profile: Profile,
    key: &RsaPublicKey,
    signer: &RsaPrivateKey,
    now: SystemTime,
) -> Result<Vec<u8>, DeviceError> {
    let time = |time: SystemTime| -> Result<Time, DeviceError> {
        Ok(Time::UtcTime(
            UtcTime::from_system_time(time).map_err(keys)?,
        ))
    };
    let validity = Validity {
        not_before: time(now - BACKDATED)?,
        not_after: time(now + LIFETIME)?,
    };
    let info = SubjectPublicKeyInfoOwned::from_key(key.clone()).map_err(keys)?;
    let signer = SigningKey::<Sha256>::new(signer.clone());
    let serial = SerialNumber::from(1_u8);
    let builder =
        CertificateBuilder::new(profile, serial, validity, Name::default(), info, &signer)
            .map_err(keys)?;
    let certificate = builder.build().map_err(keys)?;
    Ok(certificate
        .to_pem(LineEnding::LF)
        .map_err(keys)?
        .into_bytes())
}

fn keys(error: impl std::fmt::Display) -> DeviceError {
    DeviceError::Keys(error.to_string())
}
