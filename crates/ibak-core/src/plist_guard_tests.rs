use super::{GuardError, Kind, Limits, check};
use proptest::prelude::*;

/// Builds a binary property list from raw objects, with one-byte offsets or wider.
fn document(objects: &[Vec<u8>], root: u64, ref_size: u8) -> Vec<u8> {
    let mut out = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for object in objects {
        offsets.push(u32::try_from(out.len()).unwrap());
        out.extend_from_slice(object);
    }
    let table = out.len() as u64;
    for offset in &offsets {
        out.extend_from_slice(&offset.to_be_bytes());
    }
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 4, ref_size]);
    out.extend_from_slice(&(objects.len() as u64).to_be_bytes());
    out.extend_from_slice(&root.to_be_bytes());
    out.extend_from_slice(&table.to_be_bytes());
    out
}

/// `depth` lists, each holding `width` times the next one; the last is empty.
fn lists(depth: u8, width: u8) -> Vec<u8> {
    let objects: Vec<Vec<u8>> = (0..depth)
        .map(|level| {
            if level + 1 == depth {
                return vec![0xa0];
            }
            let mut object = vec![0xaf, 0x10, width];
            object.extend(std::iter::repeat_n(level + 1, usize::from(width)));
            object
        })
        .collect();
    document(&objects, 0, 1)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn binary_documents() {
    let data = |len: u32| {
        [
            vec![0x4f, 0x12],
            len.to_be_bytes().to_vec(),
            vec![7; len as usize],
        ]
        .concat()
    };
    let shared = |count: u8, len| {
        document(
            &[
                [vec![0xaf, 0x10, count], vec![1; usize::from(count)]].concat(),
                data(len),
            ],
            0,
            1,
        )
    };
    let cases: Vec<(&str, Vec<u8>, Result<Kind, GuardError>)> = vec![
        ("true", document(&[vec![0x09]], 0, 1), Ok(Kind::Binary)),
        (
            "integer",
            document(&[vec![0x13, 0, 0, 0, 0, 0, 0, 0, 1]], 0, 1),
            Ok(Kind::Binary),
        ),
        (
            "dictionary",
            document(
                &[vec![0xd1, 1, 2], vec![0x51, b'k'], vec![0x61, 0, b'v']],
                0,
                1,
            ),
            Ok(Kind::Binary),
        ),
        ("uid", document(&[vec![0x80, 1]], 0, 1), Ok(Kind::Binary)),
        ("depth 64", lists(64, 1), Ok(Kind::Binary)),
        ("depth 65", lists(65, 1), Err(GuardError::TooDeep)),
        (
            "itself",
            document(&[vec![0xa1, 0]], 0, 1),
            Err(GuardError::TooDeep),
        ),
        ("nodes 2^17", lists(17, 2), Ok(Kind::Binary)),
        ("nodes 2^18", lists(18, 2), Err(GuardError::TooManyNodes)),
        (
            "the 202 byte bomb's kind",
            lists(9, 16),
            Err(GuardError::TooManyNodes),
        ),
        ("shared data, fits", shared(31, 1 << 20), Ok(Kind::Binary)),
        (
            "shared data, does not",
            shared(33, 1 << 20),
            Err(GuardError::TooManyBytes),
        ),
        (
            "null",
            document(&[vec![0x00]], 0, 1),
            Err(GuardError::Binary("an object has an unknown type")),
        ),
        (
            "set",
            document(&[vec![0xc0]], 0, 1),
            Err(GuardError::Binary("an object has an unknown type")),
        ),
        (
            "root outside",
            document(&[vec![0x09]], 1, 1),
            Err(GuardError::Binary(
                "a reference leads outside the object table",
            )),
        ),
        (
            "string too long",
            document(&[vec![0x55, b'a']], 0, 1),
            Err(GuardError::Binary("an object reaches outside the document")),
        ),
        (
            "giant length",
            document(&[[vec![0x4f, 0x13], vec![0xff; 8]].concat()], 0, 1),
            Err(GuardError::Binary("an object reaches outside the document")),
        ),
        (
            "giant list",
            document(&[[vec![0xaf, 0x13], vec![0xff; 8]].concat()], 0, 8),
            Err(GuardError::Binary("an object reaches outside the document")),
        ),
        (
            "length not an integer",
            document(&[vec![0x4f, 0x23, 1, 1]], 0, 1),
            Err(GuardError::Binary("a length is not an integer")),
        ),
        (
            "reference width",
            document(&[vec![0x09]], 0, 5),
            Err(GuardError::Binary("an integer width is not usual")),
        ),
        (
            "only magic",
            b"bplist00".to_vec(),
            Err(GuardError::Binary("it is too short")),
        ),
    ];
    for (name, bytes, want) in cases {
        assert_eq!(check(&bytes, &Limits::MESSAGE), want, "{name}");
    }
}

#[test]
fn trailer_numbers_are_bounded() {
    let good = document(&[vec![0x09]], 0, 1);
    let trailer = good.len() - 32;
    for field in [8, 16, 24] {
        for value in [u64::MAX, u64::MAX / 2, 1 << 32, 201_000, good.len() as u64] {
            let mut bad = good.clone();
            bad[trailer + field..trailer + field + 8].copy_from_slice(&value.to_be_bytes());
            assert!(
                check(&bad, &Limits::MESSAGE).is_err(),
                "field {field} = {value}"
            );
        }
    }
    assert_eq!(
        check(
            &[0; 17],
            &Limits {
                bytes_max: 16,
                ..Limits::MESSAGE
            }
        ),
        Err(GuardError::TooLong(17))
    );
}

/// The reply of corpus `messages/19_lockdown_and_helpers_of_a_backup.json`, iOS 12: 356 bytes.
const REPLY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n\t<key>Port</key>\n\t<integer>49321</integer>\n\t<key>Request</key>\n\t<string>StartService</string>\n\t<key>Service</key>\n\t<string>com.apple.mobile.notification_proxy</string>\n</dict>\n</plist>\n";

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn xml_documents() {
    let wrap = |inner: &str| format!("<plist version=\"1.0\">{inner}</plist>");
    let nest = |depth: usize| {
        wrap(&format!(
            "{}{}",
            "<array>".repeat(depth),
            "</array>".repeat(depth)
        ))
    };
    let xml = |what| Err(GuardError::Xml(what));
    let cases: Vec<(&str, String, Result<Kind, GuardError>)> = vec![
        ("reply", REPLY.into(), Ok(Kind::Xml)),
        ("no prologue", wrap("<true/>"), Ok(Kind::Xml)),
        (
            "byte order mark",
            format!("\u{feff}{}", wrap("<dict/>")),
            Ok(Kind::Xml),
        ),
        (
            "entity use",
            wrap("<string>a &amp; b</string>"),
            Ok(Kind::Xml),
        ),
        ("depth 64", nest(64), Ok(Kind::Xml)),
        ("depth 65", nest(65), Err(GuardError::TooDeep)),
        ("28 KB of nesting", nest(2000), Err(GuardError::TooDeep)),
        (
            "many",
            wrap(&format!("<array>{}</array>", "<true/>".repeat(200_000))),
            Err(GuardError::TooManyNodes),
        ),
        (
            "entities",
            format!("<!DOCTYPE plist [<!ENTITY a \"b\">]>{}", wrap("<true/>")),
            xml("its document type declares something"),
        ),
        (
            "other root",
            "<html></html>".into(),
            xml("its first element is not a plist"),
        ),
        (
            "comment",
            wrap("<!-- -->"),
            xml("an element is unknown here"),
        ),
        (
            "cdata",
            wrap("<string><![CDATA[x]]></string>"),
            xml("an element is unknown here"),
        ),
        (
            "instruction",
            wrap("<?x y?>"),
            xml("an element is unknown here"),
        ),
        (
            "attribute",
            wrap("<string a=\">\">x</string>"),
            xml("an element is unknown here"),
        ),
        (
            "value in value",
            wrap("<string><true/></string>"),
            xml("a value stands inside a simple value"),
        ),
        (
            "text",
            wrap("<dict>x</dict>"),
            xml("text stands between elements"),
        ),
        (
            "crossed",
            wrap("<dict><array></dict></array>"),
            xml("a closing tag does not match"),
        ),
        (
            "open",
            "<plist><dict>".into(),
            xml("an element is not closed"),
        ),
        (
            "two",
            format!("{0}{0}", wrap("<true/>")),
            xml("something follows the document"),
        ),
        ("ascii", "{ a = b; }".into(), Err(GuardError::UnknownForm)),
        ("nothing", String::new(), Err(GuardError::UnknownForm)),
    ];
    assert_eq!(REPLY.len(), 356);
    for (name, text, want) in cases {
        assert_eq!(check(text.as_bytes(), &Limits::MESSAGE), want, "{name}");
    }
    assert_eq!(
        check(b"\xff\xfe<\0", &Limits::MESSAGE),
        Err(GuardError::UnknownForm)
    );
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(check(&bytes, &Limits::MESSAGE).is_err());
    }

    #[test]
    fn damaged_documents_give_an_answer(at in 8_usize..60, value: u8) {
        let mut bytes = document(&[vec![0xd1, 1, 2], vec![0x51, b'k'], vec![0xa1, 3], vec![0x10, 1]], 0, 1);
        let at = at.min(bytes.len() - 1);
        bytes[at] = value;
        // Both answers are fine; a panic or an endless walk is not.
        if let Err(error) = check(&bytes, &Limits { nodes_max: 100, ..Limits::MESSAGE }) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn cut_xml_is_refused(len in 0_usize..355) {
        prop_assert!(check(&REPLY.as_bytes()[..len], &Limits::MESSAGE).is_err());
    }
}
