use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn plist_frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn good() -> Vec<u8> {
    let mut body = Vec::new();
    plist::Value::String("x".repeat(300))
        .to_writer_binary(&mut body)
        .unwrap();
    plist_frame(&body)
}

fn afc_packet(magic: u64, whole: u64, first: u64, rest: &[u8]) -> Vec<u8> {
    let mut packet: Vec<u8> = [magic, whole, first, 1, 2]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    packet.extend_from_slice(rest);
    packet
}

/// Feeds `bytes` in pieces of `step` and reads until the end.
async fn read_all(framing: Framing, bytes: &[u8], step: usize, total: u64) -> io::Result<Vec<u8>> {
    let (mut far, near) = tokio::io::duplex(4096);
    let bytes = bytes.to_vec();
    let feeder = tokio::spawn(async move {
        for piece in bytes.chunks(step) {
            if far.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    let mut out = Vec::new();
    let result = PlistGuard::new(near, framing, Limits::MESSAGE)
        .total(total)
        .read_to_end(&mut out)
        .await;
    feeder.abort();
    result.map(|_| out)
}

#[tokio::test]
async fn good_messages_pass_unchanged_in_any_pieces() {
    let plists = [good(), good()].concat();
    let rest = vec![7; 100];
    let packets = [
        afc_packet(AFC_MAGIC, 40, 40, &[]),
        afc_packet(AFC_MAGIC, 140, 56, &rest),
        afc_packet(AFC_MAGIC, 40, 40, &[]),
    ]
    .concat();
    for step in [1, 3, 44, 4096] {
        assert_eq!(
            read_all(Framing::Plist, &plists, step, u64::MAX)
                .await
                .unwrap(),
            plists,
            "{step}"
        );
        assert_eq!(
            read_all(Framing::Afc, &packets, step, u64::MAX)
                .await
                .unwrap(),
            packets,
            "{step}"
        );
    }
}

/// A thousand lists in each other.
fn nested() -> Vec<u8> {
    let mut nested = Vec::new();
    nested.extend_from_slice(b"<?xml version=\"1.0\"?><plist version=\"1.0\">");
    nested.extend(b"<array>".repeat(1000));
    nested.extend(b"</array>".repeat(1000));
    nested.extend_from_slice(b"</plist>");
    nested
}

#[tokio::test]
async fn bad_messages_never_reach_the_reader() {
    let nested = nested();
    let mut cut = good();
    cut.truncate(100);
    let cases: [(&str, Framing, Vec<u8>, io::ErrorKind); 9] = [
        (
            "a length of 4 GiB",
            Framing::Plist,
            vec![0xff; 8],
            io::ErrorKind::InvalidData,
        ),
        (
            "nesting",
            Framing::Plist,
            plist_frame(&nested),
            io::ErrorKind::InvalidData,
        ),
        (
            "no property list",
            Framing::Plist,
            plist_frame(b"hello"),
            io::ErrorKind::InvalidData,
        ),
        (
            "nothing at all",
            Framing::Plist,
            plist_frame(b""),
            io::ErrorKind::InvalidData,
        ),
        (
            "cut short",
            Framing::Plist,
            cut,
            io::ErrorKind::UnexpectedEof,
        ),
        (
            "another magic",
            Framing::Afc,
            afc_packet(1, 40, 40, &[]),
            io::ErrorKind::InvalidData,
        ),
        (
            "a head shorter than a head",
            Framing::Afc,
            afc_packet(AFC_MAGIC, 40, 39, &[]),
            io::ErrorKind::InvalidData,
        ),
        (
            "a whole shorter than its head",
            Framing::Afc,
            afc_packet(AFC_MAGIC, 40, 48, &[]),
            io::ErrorKind::InvalidData,
        ),
        (
            "a packet of 16 EiB",
            Framing::Afc,
            afc_packet(AFC_MAGIC, u64::MAX, 40, &[]),
            io::ErrorKind::InvalidData,
        ),
    ];
    for (name, framing, bytes, kind) in cases {
        for step in [1, 4096] {
            let error = read_all(framing, &bytes, step, u64::MAX)
                .await
                .expect_err(name);
            assert_eq!(error.kind(), kind, "{name}");
        }
    }
}

#[tokio::test]
async fn the_total_is_limited() {
    let two = [good(), good()].concat();
    let one = good().len() as u64 - 4;
    assert!(read_all(Framing::Plist, &two, 64, one * 2).await.is_ok());
    let error = read_all(Framing::Plist, &two, 64, one * 2 - 1)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_refused_stream_stays_closed() {
    let bytes = [plist_frame(b"hello"), good()].concat();
    let mut guard = PlistGuard::new(bytes.as_slice(), Framing::Plist, Limits::MESSAGE);
    let mut out = Vec::new();
    assert!(guard.read_to_end(&mut out).await.is_err());
    assert!(guard.read_to_end(&mut out).await.is_err());
    assert!(out.is_empty());
}
