use super::*;
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer};
use rsa::{RsaPrivateKey, pkcs1v15, pss};
use std::sync::OnceLock;

/// Two keys a length, made once: making them is what costs.
struct Keys {
    phone: RsaPrivateKey,
    stranger: RsaPrivateKey,
    old_phone: RsaPrivateKey,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut random = rsa::rand_core::OsRng;
        let mut make = |bits| RsaPrivateKey::new(&mut random, bits).unwrap();
        Keys {
            phone: make(2048),
            stranger: make(2048),
            old_phone: make(1024),
        }
    })
}

fn pin(key: &RsaPrivateKey) -> Pin {
    let public = RsaPublicKey::from(key);
    let short = (public.n().bits() < SHORT_BITS).then(|| public.clone());
    Pin {
        family: Family::Rsa,
        key: public.to_pkcs1_der().unwrap().into_vec(),
        short,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only these four are needed")]
fn sign(key: &RsaPrivateKey, scheme: SignatureScheme, message: &[u8]) -> Vec<u8> {
    let mut random = rsa::rand_core::OsRng;
    let key = key.clone();
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256 => pkcs1v15::SigningKey::<Sha256>::new(key)
            .sign(message)
            .to_vec(),
        SignatureScheme::RSA_PKCS1_SHA512 => pkcs1v15::SigningKey::<Sha512>::new(key)
            .sign(message)
            .to_vec(),
        SignatureScheme::RSA_PSS_SHA256 => pss::SigningKey::<Sha256>::new(key)
            .sign_with_rng(&mut random, message)
            .to_vec(),
        SignatureScheme::RSA_PSS_SHA384 => pss::SigningKey::<Sha384>::new(key)
            .sign_with_rng(&mut random, message)
            .to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The library has no way to make this value; its wire form has: scheme, length, bytes.
fn signed(scheme: SignatureScheme, signature: &[u8]) -> DigitallySignedStruct {
    use rustls::internal::msgs::codec::{Codec, Reader};
    let mut wire = u16::from(scheme).to_be_bytes().to_vec();
    wire.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
    wire.extend_from_slice(signature);
    DigitallySignedStruct::read(&mut Reader::init(&wire)).unwrap()
}

fn verdict(
    pin: &Pin,
    version: Version,
    scheme: SignatureScheme,
    signature: &[u8],
) -> Result<(), TlsError> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    pin.verify(
        b"handshake",
        &signed(scheme, signature),
        &algorithms,
        version,
    )
    .map(drop)
}

const PKCS1: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;
const PSS: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

#[test]
fn the_pinned_key_is_believed() {
    for key in [&keys().phone, &keys().old_phone] {
        let pin = pin(key);
        for (version, scheme) in [
            (Version::Tls12, PKCS1),
            (Version::Tls12, SignatureScheme::RSA_PKCS1_SHA512),
            (Version::Tls12, PSS),
            (Version::Tls13, PSS),
            (Version::Tls13, SignatureScheme::RSA_PSS_SHA384),
        ] {
            let signature = sign(key, scheme, b"handshake");
            assert_eq!(
                verdict(&pin, version, scheme, &signature),
                Ok(()),
                "{scheme:?}"
            );
        }
    }
}

#[test]
fn nothing_else_is() {
    let bad = Err(TlsError::InvalidCertificate(CertificateError::BadSignature));
    let unadvertised = Err(TlsError::from(
        PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
    ));
    for key in [&keys().phone, &keys().old_phone] {
        let pin = pin(key);
        for scheme in [PKCS1, PSS] {
            let mut flipped = sign(key, scheme, b"handshake");
            flipped[17] ^= 1;
            let cases = [
                (
                    "another's signature",
                    sign(&keys().stranger, scheme, b"handshake"),
                ),
                ("of another message", sign(key, scheme, b"other")),
                ("with a flipped bit", flipped),
                ("empty", Vec::new()),
                ("zeros", vec![0; 256]),
            ];
            for (name, signature) in cases {
                assert_eq!(
                    verdict(&pin, Version::Tls12, scheme, &signature),
                    bad,
                    "{name}, {scheme:?}"
                );
            }
        }
        // TLS 1.3 forbids the old padding, and nobody offered SHA-1 or another kind of key.
        let signature = sign(key, PKCS1, b"handshake");
        assert_eq!(
            verdict(&pin, Version::Tls13, PKCS1, &signature),
            unadvertised
        );
        assert_eq!(
            verdict(
                &pin,
                Version::Tls12,
                SignatureScheme::RSA_PKCS1_SHA1,
                &signature
            ),
            unadvertised
        );
        assert_eq!(
            verdict(&pin, Version::Tls12, SignatureScheme::ED25519, &signature),
            unadvertised
        );
        assert_eq!(
            verdict(
                &pin,
                Version::Tls12,
                SignatureScheme::ECDSA_NISTP256_SHA256,
                &signature
            ),
            bad
        );
    }
}

#[test]
fn a_scheme_is_not_taken_for_another() {
    let pin = pin(&keys().phone);
    let signature = sign(&keys().phone, PKCS1, b"handshake");
    assert!(verdict(&pin, Version::Tls12, PSS, &signature).is_err());
    assert!(
        verdict(
            &pin,
            Version::Tls12,
            SignatureScheme::RSA_PKCS1_SHA512,
            &signature
        )
        .is_err()
    );
}

#[test]
fn no_debug_of_the_key() {
    assert_eq!(format!("{:?}", pin(&keys().phone)), "Pin(Rsa)");
}
