//! TLS with a phone: the other end must hold the very key the phone had at pairing.
//!
//! A phone's certificate has no name, no usable dates and no authority; only its public key
//! means anything. So nothing but the key is compared, and every handshake must be signed by
//! it. Names, dates and chains are not looked at, on purpose.

use crate::wire::Stream;
use crate::{Deadlines, DeviceError, PairRecord};
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::traits::PublicKeyParts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls::{Error as TlsError, PeerMisbehaved};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// `rsaEncryption`.
const RSA: &str = "1.2.840.113549.1.1.1";
/// `id-ecPublicKey`.
const EC: &str = "1.2.840.10045.2.1";
/// Below this many bits the TLS library takes no RSA key; older phones have 1024.
const SHORT_BITS: usize = 2048;
const BITS_MIN: usize = 1024;

/// A phone's public key: the one thing in its certificate that is believed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    family: Family,
    /// The content of the bit string, as signatures are checked with it.
    key: Vec<u8>,
    /// The same, parsed, when it is too short for the TLS library.
    short: Option<RsaPublicKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    Ec,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({:?})", self.family)
    }
}

impl Pin {
    /// Takes the key out of a certificate and leaves everything else.
    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, DeviceError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| DeviceError::BadRecord("DeviceCertificate cannot be read"))?;
        let info = parsed.public_key();
        let family = match info.algorithm.algorithm.to_id_string().as_str() {
            RSA => Family::Rsa,
            EC => Family::Ec,
            _ => {
                return Err(DeviceError::BadRecord(
                    "the phone's key is of an unknown kind",
                ));
            }
        };
        let key = info.subject_public_key.data.to_vec();
        let short = match family {
            Family::Ec => None,
            Family::Rsa => {
                let parsed = RsaPublicKey::from_pkcs1_der(&key)
                    .map_err(|_| DeviceError::BadRecord("the phone's key cannot be read"))?;
                let bits = parsed.n().bits();
                if bits < BITS_MIN {
                    return Err(DeviceError::BadRecord(
                        "the phone's key is too short to prove anything",
                    ));
                }
                (bits < SHORT_BITS).then_some(parsed)
            }
        };
        Ok(Self { family, key, short })
    }

    /// Checks a signature of the handshake.
    fn verify(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
        version: Version,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let unadvertised =
            || TlsError::from(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme);
        let bad = || TlsError::InvalidCertificate(CertificateError::BadSignature);
        let family = scheme_family(signed.scheme, version).ok_or_else(unadvertised)?;
        if family != self.family {
            return Err(bad());
        }
        let valid = match &self.short {
            Some(key) => verify_short(key, signed.scheme, message, signed.signature()),
            None => {
                let (_, candidates) = algorithms
                    .mapping
                    .iter()
                    .find(|(scheme, _)| *scheme == signed.scheme)
                    .ok_or_else(unadvertised)?;
                candidates.iter().any(|algorithm| {
                    algorithm
                        .verify_signature(&self.key, message, signed.signature())
                        .is_ok()
                })
            }
        };
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
}

/// Says what kind of key a scheme needs, if it may be used in this version at all.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "schemes are numbers; unknown ones are refused"
)]
fn scheme_family(scheme: SignatureScheme, version: Version) -> Option<Family> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512 => (version == Version::Tls12).then_some(Family::Rsa),
        SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512 => Some(Family::Rsa),
        SignatureScheme::ECDSA_NISTP256_SHA256 | SignatureScheme::ECDSA_NISTP384_SHA384 => {
            Some(Family::Ec)
        }
        _ => None,
    }
}

/// Checks a signature by a key that is shorter than the TLS library takes.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "schemes are numbers; unknown ones are refused"
)]
fn verify_short(
    key: &RsaPublicKey,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> bool {
    use rsa::{Pkcs1v15Sign, Pss};
    let sha256 = || Sha256::digest(message).to_vec();
    let sha384 = || Sha384::digest(message).to_vec();
    let sha512 = || Sha512::digest(message).to_vec();
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => {
            key.verify(Pkcs1v15Sign::new::<Sha256>(), &sha256(), signature)
        }
        SignatureScheme::RSA_PKCS1_SHA384 => {
            key.verify(Pkcs1v15Sign::new::<Sha384>(), &sha384(), signature)
        }
        SignatureScheme::RSA_PKCS1_SHA512 => {
            key.verify(Pkcs1v15Sign::new::<Sha512>(), &sha512(), signature)
        }
        SignatureScheme::RSA_PSS_SHA256 => key.verify(Pss::new::<Sha256>(), &sha256(), signature),
        SignatureScheme::RSA_PSS_SHA384 => key.verify(Pss::new::<Sha384>(), &sha384(), signature),
        SignatureScheme::RSA_PSS_SHA512 => key.verify(Pss::new::<Sha512>(), &sha512(), signature),
        _ => return false,
    }
    .is_ok()
}

/// Believes one key and nothing else.
#[derive(Debug)]
struct PinnedVerifier {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match Pin::of_certificate(end_entity) {
            Ok(shown) if shown == self.pin => Ok(ServerCertVerified::assertion()),
            Ok(_) => Err(TlsError::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Err(_) => Err(TlsError::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.pin
            .verify(message, signed, &self.algorithms, Version::Tls12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.pin
            .verify(message, signed, &self.algorithms, Version::Tls13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Shows our host certificate; the library would first insist that it is a modern one.
#[derive(Debug)]
struct HostIdentity(Arc<CertifiedKey>);

impl ResolvesClientCert for HostIdentity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What encrypts towards one phone.
#[derive(Clone)]
pub(crate) struct Encryption(Arc<ClientConfig>);

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryption")
    }
}

impl Encryption {
    /// Makes the side of the computer from a pairing record.
    pub(crate) fn new(record: &PairRecord) -> Result<Self, DeviceError> {
        let provider: CryptoProvider = ring::default_provider();
        let algorithms = provider.signature_verification_algorithms;
        let key = ring::sign::any_supported_type(&record.host_key_der()?)
            .map_err(|_| DeviceError::BadRecord("HostPrivateKey is of an unknown kind"))?;
        let identity = CertifiedKey::new(vec![record.host_certificate_der()?], key);
        let verifier = PinnedVerifier {
            pin: record.pin().clone(),
            algorithms,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| DeviceError::Tls {
                what: "TLS",
                reason: error.to_string(),
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(HostIdentity(Arc::new(identity))));
        config.enable_sni = false;
        // Every connection proves the key anew.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// Encrypts a stream; returns only when the pin held and the handshake was signed by it.
    pub(crate) async fn wrap(
        &self,
        what: &'static str,
        stream: Box<dyn Stream>,
        deadlines: &Deadlines,
    ) -> Result<Box<dyn Stream>, DeviceError> {
        let name = ServerName::try_from("phone.invalid").map_err(|error| DeviceError::Tls {
            what,
            reason: error.to_string(),
        })?;
        let handshake = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
        match tokio::time::timeout(deadlines.tls, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(tls_error(what, error)),
            Err(_elapsed) => Err(DeviceError::TimedOut {
                what,
                after: deadlines.tls,
            }),
        }
    }
}

fn tls_error(what: &'static str, error: std::io::Error) -> DeviceError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>())
    {
        Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => {
            DeviceError::WrongKey { what }
        }
        Some(TlsError::PeerMisbehaved(
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
        )) => DeviceError::WrongKey { what },
        Some(other) => DeviceError::Tls {
            what,
            reason: other.to_string(),
        },
        None => DeviceError::io(what)(error),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
