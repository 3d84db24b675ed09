//! The proof that phone and computer know each other. Everything in it is secret.

use crate::DeviceError;
use crate::tls::Pin;
use ibak_core::plist_guard::{self, Limits};
use plist::{Dictionary, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use zeroize::Zeroizing;

/// What a pairing left behind: certificates, our key, and the escrow bag.
///
/// The key of the authority that signed them is dropped on reading and never kept: with it
/// anybody could make new hosts that the phone trusts. There is no `Debug` of the content and
/// no `Clone`; share it in an `Arc`.
pub struct PairRecord {
    pub(crate) host_id: String,
    pub(crate) system_buid: String,
    pub(crate) device_certificate: Vec<u8>,
    pub(crate) host_certificate: Vec<u8>,
    pub(crate) root_certificate: Vec<u8>,
    pub(crate) host_private_key: Zeroizing<Vec<u8>>,
    pub(crate) escrow_bag: Option<Zeroizing<Vec<u8>>>,
    pub(crate) wifi_mac: Option<String>,
    pin: Pin,
}

impl fmt::Debug for PairRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairRecord(secret)")
    }
}

impl PairRecord {
    /// Parses a record as usbmuxd and its clients keep it (corpus, mux/pair_record.json).
    ///
    /// # Errors
    /// [`DeviceError::BadRecord`] when something needed is missing or cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeviceError> {
        plist_guard::check(bytes, &Limits::MESSAGE)
            .map_err(|_| DeviceError::BadRecord("it is no property list"))?;
        let value: Value = plist::from_bytes(bytes)
            .map_err(|_| DeviceError::BadRecord("it is no property list"))?;
        let mut fields = value
            .into_dictionary()
            .ok_or(DeviceError::BadRecord("it is no dictionary"))?;
        drop(take_data(&mut fields, "RootPrivateKey").map(Zeroizing::new));
        Self::assemble(Parts {
            host_id: take_string(&mut fields, "HostID")
                .ok_or(DeviceError::BadRecord("HostID is missing"))?,
            system_buid: take_string(&mut fields, "SystemBUID")
                .ok_or(DeviceError::BadRecord("SystemBUID is missing"))?,
            host_private_key: take_data(&mut fields, "HostPrivateKey")
                .map(Zeroizing::new)
                .ok_or(DeviceError::BadRecord("HostPrivateKey is missing"))?,
            device_certificate: take_data(&mut fields, "DeviceCertificate")
                .ok_or(DeviceError::BadRecord("DeviceCertificate is missing"))?,
            host_certificate: take_data(&mut fields, "HostCertificate")
                .ok_or(DeviceError::BadRecord("HostCertificate is missing"))?,
            root_certificate: take_data(&mut fields, "RootCertificate").unwrap_or_default(),
            escrow_bag: take_data(&mut fields, "EscrowBag").map(Zeroizing::new),
            wifi_mac: take_string(&mut fields, "WiFiMACAddress"),
        })
    }

    pub(crate) fn assemble(parts: Parts) -> Result<Self, DeviceError> {
        let pin = Pin::of_certificate(&certificate(&parts.device_certificate)?)?;
        let record = Self {
            host_id: parts.host_id,
            system_buid: parts.system_buid,
            device_certificate: parts.device_certificate,
            host_certificate: parts.host_certificate,
            root_certificate: parts.root_certificate,
            host_private_key: parts.host_private_key,
            escrow_bag: parts.escrow_bag,
            wifi_mac: parts.wifi_mac,
            pin,
        };
        record.host_certificate_der()?;
        record.host_key_der()?;
        Ok(record)
    }

    /// Writes the record the way [`Self::parse`] reads it.
    ///
    /// # Errors
    /// [`DeviceError::BadRecord`] when the list cannot be written.
    pub fn to_plist(&self) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let mut fields = Dictionary::new();
        fields.insert(
            "DeviceCertificate".into(),
            Value::Data(self.device_certificate.clone()),
        );
        fields.insert(
            "HostCertificate".into(),
            Value::Data(self.host_certificate.clone()),
        );
        fields.insert("HostID".into(), self.host_id.as_str().into());
        fields.insert(
            "HostPrivateKey".into(),
            Value::Data(self.host_private_key.to_vec()),
        );
        if !self.root_certificate.is_empty() {
            fields.insert(
                "RootCertificate".into(),
                Value::Data(self.root_certificate.clone()),
            );
        }
        fields.insert("SystemBUID".into(), self.system_buid.as_str().into());
        if let Some(bag) = &self.escrow_bag {
            fields.insert("EscrowBag".into(), Value::Data(bag.to_vec()));
        }
        if let Some(mac) = &self.wifi_mac {
            fields.insert("WiFiMACAddress".into(), mac.as_str().into());
        }
        let mut value = Value::Dictionary(fields);
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 << 10));
        let written = value.to_writer_xml(&mut *bytes);
        wipe(&mut value, &["HostPrivateKey", "EscrowBag"]);
        written.map_err(|_| DeviceError::BadRecord("it cannot be written"))?;
        Ok(bytes)
    }

    /// Returns what of it is no secret, as the phone names the pairing by.
    pub(crate) fn public_part(&self) -> Dictionary {
        let mut fields = Dictionary::new();
        for (name, certificate) in [
            ("DeviceCertificate", &self.device_certificate),
            ("HostCertificate", &self.host_certificate),
            ("RootCertificate", &self.root_certificate),
        ] {
            fields.insert(name.into(), Value::Data(certificate.clone()));
        }
        fields.insert("HostID".into(), self.host_id.as_str().into());
        fields.insert("SystemBUID".into(), self.system_buid.as_str().into());
        fields
    }

    /// Returns the name this computer has for the phone; from iOS 26.4 the key of its mDNS tag.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// Returns the phone's hardware address as it was at pairing; not what mDNS shows from 26.4.
    pub fn wifi_mac(&self) -> Option<&str> {
        self.wifi_mac.as_deref()
    }

    /// Says whether there is an escrow bag, which a backup of a locked phone needs.
    pub const fn has_escrow_bag(&self) -> bool {
        self.escrow_bag.is_some()
    }

    pub(crate) const fn pin(&self) -> &Pin {
        &self.pin
    }

    pub(crate) fn host_certificate_der(&self) -> Result<CertificateDer<'static>, DeviceError> {
        certificate(&self.host_certificate)
    }

    pub(crate) fn host_key_der(&self) -> Result<PrivateKeyDer<'static>, DeviceError> {
        let bytes = &self.host_private_key;
        if bytes.starts_with(b"-----") {
            PrivateKeyDer::from_pem_slice(bytes)
                .map_err(|_| DeviceError::BadRecord("HostPrivateKey cannot be read"))
        } else {
            PrivateKeyDer::try_from(bytes.to_vec())
                .map_err(|_| DeviceError::BadRecord("HostPrivateKey cannot be read"))
        }
    }
}

/// The fields of a record that is being made.
pub(crate) struct Parts {
    pub(crate) host_id: String,
    pub(crate) system_buid: String,
    pub(crate) device_certificate: Vec<u8>,
    pub(crate) host_certificate: Vec<u8>,
    pub(crate) root_certificate: Vec<u8>,
    pub(crate) host_private_key: Zeroizing<Vec<u8>>,
    pub(crate) escrow_bag: Option<Zeroizing<Vec<u8>>>,
    pub(crate) wifi_mac: Option<String>,
}

/// Overwrites the bytes of some data fields of a dictionary.
pub(crate) fn wipe(value: &mut Value, names: &[&str]) {
    let Some(fields) = value.as_dictionary_mut() else {
        return;
    };
    for name in names {
        drop(take_data(fields, name).map(Zeroizing::new));
    }
}

fn take_data(fields: &mut Dictionary, name: &str) -> Option<Vec<u8>> {
    fields.remove(name).and_then(Value::into_data)
}

fn take_string(fields: &mut Dictionary, name: &str) -> Option<String> {
    fields.remove(name).and_then(Value::into_string)
}

/// Reads a certificate in PEM, as all known records hold it, or in DER.
fn certificate(bytes: &[u8]) -> Result<CertificateDer<'static>, DeviceError> {
    let start = bytes
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .unwrap_or_default();
    if bytes
        .get(start..)
        .is_some_and(|rest| rest.starts_with(b"-----"))
    {
        CertificateDer::from_pem_slice(bytes)
            .map_err(|_| DeviceError::BadRecord("a certificate cannot be read"))
    } else {
        Ok(CertificateDer::from(bytes.to_vec()))
    }
}
