use std::io::{Read, Write};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::content::FileId;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(5)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn keys_wrap_as_in_rfc_3394_section_4_6() {
    let kek = hex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F");
    let key = hex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F");
    let wrapped =
        hex("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21");
    let (kek, key) = (kek.try_into().unwrap(), key.try_into().unwrap());
    assert_eq!(keys::wrap(&kek, &key).to_vec(), wrapped);
    assert_eq!(keys::unwrap(&kek, &wrapped), Some(key));
    for at in [0, 20, 39] {
        let mut broken = wrapped.clone();
        broken[at] ^= 1;
        assert_eq!(keys::unwrap(&kek, &broken), None, "byte {at}");
    }
    assert_eq!(keys::unwrap(&kek, &wrapped[..32]), None);
}

#[test]
fn pbkdf2_is_that_of_rfc_6070_and_rfc_7914() {
    let sha1 = |password: &[u8], salt: &[u8], rounds| {
        pbkdf2::pbkdf2_hmac_array::<sha1::Sha1, 20>(password, salt, rounds).to_vec()
    };
    let table = [
        (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
        (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        (4_096, "4b007901b765489abead49d926f721d065a429c1"),
    ];
    for (rounds, expected) in table {
        assert_eq!(
            sha1(b"password", b"salt", rounds),
            hex(expected),
            "{rounds}"
        );
    }
    let sha256 = pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 64>(b"passwd", b"salt", 1);
    assert_eq!(
        sha256.to_vec(),
        hex(
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        )
    );
}

#[test]
fn a_keybag_is_read_back_and_opened_by_its_password_alone() {
    let costs = Costs { dpic: 30, iter: 20 };
    let (keybag, keys) = Keybag::make("näh-Garn 4", &costs, &mut rng());
    let bytes = keybag.encode();
    let again = Keybag::parse(&bytes).unwrap();
    assert_eq!(again, keybag);
    assert_eq!(again.encode(), bytes);
    assert_eq!(again.unlock("näh-Garn 4"), Some(keys));
    for wrong in ["", "näh-Garn 5", "näh-Garn 4 "] {
        assert_eq!(again.unlock(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_keybag_holds_what_real_ones_hold() {
    let (keybag, _) = Keybag::make("x", &Costs::default(), &mut rng());
    let bytes = keybag.encode();
    let items = tlv::split(&bytes).unwrap();
    let tags: Vec<&str> = items
        .iter()
        .map(|item| std::str::from_utf8(&item.tag).unwrap())
        .collect();
    let header = [
        "VERS", "TYPE", "UUID", "HMCK", "WRAP", "SALT", "ITER", "DPWT", "DPIC", "DPSL",
    ];
    assert_eq!(tags[..10], header);
    assert_eq!(tags.len(), 10 + 11 * 5);
    for (class, tags) in tags[10..].chunks(5).enumerate() {
        assert_eq!(tags, ["UUID", "CLAS", "WRAP", "KTYP", "WPKY"]);
        let class_at = 10 + class * 5;
        assert_eq!(items[class_at + 1].number(), Some(class as u32 + 1));
        assert_eq!(items[class_at + 4].data.len(), 40);
    }
    assert_eq!(items[1].number(), Some(1), "a backup's");
}

#[test]
fn another_password_keeps_the_class_keys_and_nothing_else() {
    let mut rng = rng();
    let mut lock = BackupLock::set("one", &Costs::default(), &mut rng);
    let before = lock.clone();
    lock.change("two", &mut rng);
    assert_eq!(lock.keys(), before.keys());
    assert_ne!(lock.keybag().uuid(), before.keybag().uuid());
    assert_ne!(lock.keybag().encode(), before.keybag().encode());
    assert_eq!(lock.keybag().costs(), before.keybag().costs());
    assert!(lock.is_opened_by("two") && !lock.is_opened_by("one"));
    assert!(before.is_opened_by("one") && !before.is_opened_by("two"));
    assert_eq!(
        BackupLock::adopt(lock.keybag().clone(), "two"),
        Some(lock.clone())
    );
    assert_eq!(BackupLock::adopt(lock.keybag().clone(), "one"), None);
}

#[test]
fn broken_and_costly_keybags_are_refused() {
    let (keybag, _) = Keybag::make("x", &Costs::default(), &mut rng());
    let bytes = keybag.encode();
    for len in 0..bytes.len() {
        // A cut between two classes leaves a sound keybag of fewer classes.
        if let Ok(cut) = Keybag::parse(&bytes[..len]) {
            assert!(cut.encode().len() == len, "{len}");
        }
    }
    let at = bytes.windows(4).position(|tag| tag == b"DPIC").unwrap();
    let mut costly = bytes.clone();
    costly[at + 8..at + 12].copy_from_slice(&50_000_001_u32.to_be_bytes());
    assert_eq!(Keybag::parse(&costly), Err(KeybagError::TooCostly));
    let mut huge = bytes;
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(Keybag::parse(&huge), Err(KeybagError::Malformed));
}

#[test]
fn keys_of_files_differ_by_file_version_and_keybag() {
    let (_, keys) = Keybag::make("x", &Costs::default(), &mut rng());
    let (one, two) = (FileId::of("A", "b"), FileId::of("A", "c"));
    let key = |id, version| keys.key_of_file(FILE_CLASS, id, version).unwrap();
    assert_eq!(key(&one, 0), key(&one, 0));
    assert_ne!(key(&one, 0), key(&one, 1));
    assert_ne!(key(&one, 0), key(&two, 0));
    assert_eq!(keys.key_of_file(12, &one, 0), None);
    let wrapped = keys.wrap_prefixed(FILE_CLASS, &key(&one, 0)).unwrap();
    assert_eq!(wrapped[..4], [4, 0, 0, 0]);
    assert_eq!(keys.unwrap_prefixed(&wrapped), Some(key(&one, 0)));
    let mut other = ChaCha8Rng::seed_from_u64(6);
    let (_, others) = Keybag::make("x", &Costs::default(), &mut other);
    assert_eq!(others.unwrap_prefixed(&wrapped), None);
}

#[test]
fn aes_256_cbc_is_that_of_nist_sp_800_38a() {
    // F.2.5, with the first block already mixed with the IV, since ours is zero.
    let key = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
    let mut first = hex("6bc1bee22e409f96e93d7e117393172a");
    for (byte, iv) in first.iter_mut().zip(0_u8..) {
        *byte ^= iv;
    }
    let plain = [first, hex("ae2d8a571e03ac9c9eb76fac45af8e51")].concat();
    let mut encrypted = Vec::new();
    let key = FileKey(key.try_into().unwrap());
    encrypt_database(&mut plain.as_slice(), &mut encrypted, &key, Padding::None).unwrap();
    assert_eq!(
        encrypted,
        hex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d")
    );
    let mut again = Vec::new();
    decrypt_database(&mut encrypted.as_slice(), &mut again, &key).unwrap();
    assert_eq!(again, plain);
    let cut = decrypt_database(&mut &encrypted[..20], &mut again, &key);
    assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_database_comes_back_padded_or_not() {
    let key = FileKey::draw(&mut rng());
    for len in [4_096, 65_520, 65_536, 200_704] {
        let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for (padding, more) in [(Padding::Pkcs7, 16), (Padding::None, 0)] {
            let (mut encrypted, mut again) = (Vec::new(), Vec::new());
            encrypt_database(&mut plain.as_slice(), &mut encrypted, &key, padding).unwrap();
            assert_eq!(encrypted.len(), plain.len() + more);
            decrypt_database(&mut encrypted.as_slice(), &mut again, &key).unwrap();
            assert!(again == plain, "{len} {padding:?}");
        }
    }
}

#[test]
fn files_of_every_length_come_back_however_they_are_cut() {
    let key = FileKey::draw(&mut rng());
    for len in [0, 1, 15, 16, 17, 65_535, 65_536, 65_537, 200_000] {
        let plain: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        for step in [1_000, 65_536, 70_001] {
            let mut reader = Encrypting::new(plain.as_slice(), &key);
            let (mut encrypted, mut buffer) = (Vec::new(), vec![0; step]);
            loop {
                let n = reader.read(&mut buffer).unwrap();
                if n == 0 {
                    break;
                }
                encrypted.extend_from_slice(&buffer[..n]);
            }
            assert_eq!(encrypted.len() as u64, encrypted_bytes(len), "{len}");
            let mut writer = Decrypting::new(Vec::new(), &key);
            for part in encrypted.chunks(step) {
                writer.write_all(part).unwrap();
            }
            assert!(writer.finish().unwrap() == plain, "{len} by {step}");
        }
    }
}

#[test]
fn a_wrong_key_and_a_cut_file_are_noticed() {
    let mut rng = rng();
    let (key, other) = (FileKey::draw(&mut rng), FileKey::draw(&mut rng));
    let mut encrypted = Vec::new();
    Encrypting::new(&[0_u8; 100][..], &key)
        .read_to_end(&mut encrypted)
        .unwrap();
    for (bytes, key) in [
        (&encrypted[..], &other),
        (&encrypted[..96], &key),
        (&encrypted[..101], &key),
        (&[][..], &key),
    ] {
        let mut writer = Decrypting::new(Vec::new(), key);
        writer.write_all(bytes).unwrap();
        let error = writer.finish().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}

#[test]
fn nothing_shows_a_key() {
    let lock = BackupLock::set("swordfish", &Costs::default(), &mut rng());
    let key = FileKey::draw(&mut rng());
    let shown = format!("{lock:?} {key:?}");
    assert!(shown.contains(&lock.keybag().uuid_text()), "{shown}");
    assert!(shown.len() < 200, "{shown}");
}
