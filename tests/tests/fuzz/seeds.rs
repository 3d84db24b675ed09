//! Good material: what the corpus has of real phones, and what the simulator makes.

use plist::{Dictionary, Value};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::fs;
use std::path::PathBuf;

use crate::database;

pub const PASSWORD: &str = "password";
/// A file of a backup.
const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
/// The phone that every way in expects.
const UDID: &str = ibak_mobilebackup2::fuzz::UDID;

fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    Value::Dictionary(pairs.collect())
}

fn nothing() -> Value {
    Value::Dictionary(Dictionary::new())
}

fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::Array(items.to_vec())
}

fn binary(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.to_writer_binary(&mut bytes).unwrap();
    bytes
}

fn xml(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.to_writer_xml(&mut bytes).unwrap();
    bytes
}

/// A length and what is so long.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn frame(message: &Value) -> Vec<u8> {
    framed(&binary(message))
}

/// The files of a room of the corpus.
fn corpus(room: &str) -> Vec<serde_json::Value> {
    let dir: PathBuf = ibak_tests::repository().join("tests/corpus").join(room);
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    files.into_iter().map(read).collect()
}

/// Makes a property list of a document of the corpus.
fn listed(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Data(vec![0]),
        serde_json::Value::Bool(flag) => Value::Boolean(*flag),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Real(number.as_f64().unwrap()), Value::from),
        serde_json::Value::String(text) => Value::String(text.replace("<udid>", UDID)),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(listed).collect()),
        serde_json::Value::Object(pairs) => Value::Dictionary(
            pairs
                .iter()
                .map(|(key, value)| (key.replace("<udid>", UDID), listed(value)))
                .collect(),
        ),
    }
}

/// What phones said in the corpus, conversation by conversation.
fn said() -> Vec<Vec<Value>> {
    let by_phone = |file: serde_json::Value| -> Vec<Value> {
        let messages = file["messages"].as_array().cloned().unwrap_or_default();
        messages
            .iter()
            .filter(|message| message["dir"] == "device")
            .map(|message| listed(&message["message"]))
            .filter(|message| message.as_array().is_some())
            .collect()
    };
    corpus("messages").into_iter().map(by_phone).collect()
}

pub fn messages() -> Vec<Vec<u8>> {
    let of_corpus: Vec<Vec<u8>> = said().iter().flatten().map(binary).collect();
    assert!(of_corpus.len() > 20, "{}", of_corpus.len());
    of_corpus
}

fn response() -> Value {
    list([
        "DLMessageProcessMessage".into(),
        dict([
            ("MessageName", "Response".into()),
            ("ErrorCode", 0.into()),
            ("ProtocolVersion", Value::Real(2.1)),
        ]),
    ])
}

fn greeting() -> Vec<u8> {
    let messages = [
        list(["DLMessageVersionExchange".into(), 400.into(), 0.into()]),
        list(["DLMessageDeviceReady".into()]),
        response(),
    ];
    messages.iter().flat_map(frame).collect()
}

/// One batch with a file that comes whole and one that the phone cannot read.
fn batch() -> Vec<u8> {
    let name = |text: &str| framed(text.as_bytes());
    let block = |code: u8, data: &[u8]| framed(&[&[code][..], data].concat());
    let begin = list([
        "DLMessageUploadFiles".into(),
        nothing(),
        Value::Real(1.0),
        7.into(),
    ]);
    [
        frame(&begin),
        name("/var/mobile/x"),
        name(&format!("{UDID}/Snapshot/3d/{ID}")),
        block(0x0c, b"content"),
        block(0x00, b""),
        name("/var/mobile/y"),
        name(&format!("{UDID}/Snapshot/Manifest.db")),
        block(0x0b, b"locked"),
        vec![0; 4],
    ]
    .concat()
}

/// A small conversation with every kind of message.
fn conversation() -> Vec<u8> {
    let own = |path: &str| format!("{UDID}/{path}");
    let one = || Value::Real(1.0);
    let snapshot = own(&format!("Snapshot/3d/{ID}"));
    let moved = Dictionary::from_iter([(snapshot.clone(), Value::from(own(&format!("3d/{ID}"))))]);
    let asks = [
        list([
            "DLMessageDownloadFiles".into(),
            list([own("Status.plist").into(), own("Manifest.db").into()]),
            nothing(),
            one(),
        ]),
        list(["DLContentsOfDirectory".into(), UDID.into()]),
        list(["DLMessageGetFreeDiskSpace".into()]),
        list(["DLMessagePurgeDiskSpace".into(), 5.into(), 4.into()]),
        list([
            "DLMessageCreateDirectory".into(),
            own("Snapshot").into(),
            nothing(),
            one(),
        ]),
    ];
    let ends = [
        list([
            "DLMessageMoveItems".into(),
            Value::Dictionary(moved),
            nothing(),
            one(),
        ]),
        list([
            "DLMessageRemoveItems".into(),
            list([own("Snapshot").into()]),
            nothing(),
            one(),
        ]),
        list([
            "DLMessageCopyItem".into(),
            own(&format!("3d/{ID}")).into(),
            own("Manifest.db").into(),
        ]),
        response(),
        list(["DLMessageDisconnect".into(), "".into()]),
    ];
    let mut bytes = greeting();
    bytes.extend(asks.iter().flat_map(frame));
    bytes.extend(batch());
    bytes.extend(ends.iter().flat_map(frame));
    bytes
}

/// Conversations, each behind the byte that chooses the deed.
pub fn conversations() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for deed in 0..4_u8 {
        all.push([vec![deed], conversation()].concat());
    }
    for (number, messages) in said().into_iter().enumerate() {
        let script: Vec<u8> = messages.iter().flat_map(frame).collect();
        let deed = u8::try_from(number % 4).unwrap();
        all.push([vec![deed], greeting(), script, batch(), frame(&response())].concat());
    }
    all
}

pub fn property_lists() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = database::lists();
    for room in ["backup", "lockdown", "mux"] {
        for document in corpus(room) {
            let list = listed(&document);
            all.extend([binary(&list), xml(&list)]);
        }
    }
    let nested = (0..60).fold(Value::from(1), |inner, _| list([inner]));
    all.extend([binary(&nested), xml(&nested)]);
    all.push(bomb());
    all.push(
        b"<?xml version=\"1.0\"?><!DOCTYPE plist PUBLIC \"-//x\" \"x\"><plist><dict/></plist>"
            .to_vec(),
    );
    all
}

/// 9 lists of 16 references to the next: 16^8 values from about 220 bytes.
fn bomb() -> Vec<u8> {
    let mut body = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 1..=9_u8 {
        offsets.push(u8::try_from(body.len()).unwrap());
        match level {
            9 => body.extend([0x51, b'x']),
            _ => body.extend([&[0xaf, 0x10, 0x10][..], &[level; 16]].concat()),
        }
    }
    let table = body.len() as u64;
    body.extend(&offsets);
    body.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for number in [offsets.len() as u64, 0, table] {
        body.extend(number.to_be_bytes());
    }
    body
}

pub fn keybags() -> Vec<Vec<u8>> {
    use ibak_sim::backup::crypto::{Costs, Keybag};
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let quick = Costs { dpic: 20, iter: 10 };
    let good = Keybag::make(PASSWORD, &quick, &mut rng).0.encode();
    let with = |costs: Costs| {
        let mut bag = good.clone();
        for (tag, rounds) in [(b"DPIC", costs.dpic), (b"ITER", costs.iter)] {
            let at = bag.windows(4).position(|four| four == tag).unwrap() + 8;
            bag[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
        }
        bag
    };
    let endless = Costs {
        dpic: u32::MAX,
        iter: u32::MAX,
    };
    vec![
        good.clone(),
        with(Costs::REAL),
        with(Costs::MAX),
        with(endless),
    ]
}

fn packet(message: &Value) -> Vec<u8> {
    let body = xml(message);
    let head = [u32::try_from(body.len()).unwrap() + 16, 1, 8, 1].map(u32::to_le_bytes);
    [head.concat(), body].concat()
}

pub fn usbmuxd() -> Vec<Vec<u8>> {
    let properties = dict([
        ("ConnectionType", "USB".into()),
        ("SerialNumber", UDID.into()),
    ]);
    let attached = dict([
        ("MessageType", "Attached".into()),
        ("DeviceID", 5.into()),
        ("Properties", properties),
    ]);
    let detached = dict([("MessageType", "Detached".into()), ("DeviceID", 5.into())]);
    let devices = dict([("DeviceList", list([attached.clone()]))]);
    let record = dict([("PairRecordData", Value::Data(pair_record()))]);
    let result = |number: u64| dict([("MessageType", "Result".into()), ("Number", number.into())]);
    let parts = [&devices, &record, &attached, &detached].map(packet);
    vec![
        parts.concat(),
        [packet(&result(0)), packet(&result(2))].concat(),
    ]
}

pub fn lockdown() -> Vec<Vec<u8>> {
    let kind = framed(&xml(&dict([("Type", "com.apple.mobile.lockdown".into())])));
    let version = framed(&xml(&dict([("Value", "15.6".into())])));
    let mut all = Vec::new();
    for document in corpus("lockdown") {
        let value = listed(&document);
        let answer = dict([("Request", "GetValue".into()), ("Value", value.clone())]);
        let script = [
            kind.clone(),
            version.clone(),
            framed(&xml(&answer)),
            frame(&value),
            framed(&xml(&dict([("Error", "InvalidHostID".into())]))),
        ];
        all.push(script.concat());
    }
    all
}

pub fn afc() -> Vec<Vec<u8>> {
    const MAGIC: u64 = 0x4141_504c_3641_4643;
    const STATUS: u64 = 1;
    const DATA: u64 = 2;
    const OPENED: u64 = 0x0e;
    let packet = |operation: u64, first: &[u8], data: &[u8]| {
        let head_len = 40 + first.len() as u64;
        let head = [MAGIC, head_len + data.len() as u64, head_len, 0, operation];
        [&head.map(u64::to_le_bytes).concat(), first, data].concat()
    };
    let script = [
        packet(DATA, &[], b".\0..\0book.epub\0"),
        packet(DATA, &[], b"st_size\x006\0st_ifmt\0S_IFREG\0"),
        packet(DATA, &[], b"x.m4a\0"),
        packet(DATA, &[], b"st_size\x003\0st_ifmt\0S_IFREG\0"),
        packet(OPENED, &7_u64.to_le_bytes(), &[]),
        packet(DATA, &[], b"conten"),
        packet(STATUS, &0_u64.to_le_bytes(), &[]),
        packet(OPENED, &8_u64.to_le_bytes(), &[]),
        packet(DATA, &[], b"abc"),
        packet(STATUS, &0_u64.to_le_bytes(), &[]),
    ];
    vec![script.concat(), packet(STATUS, &8_u64.to_le_bytes(), &[])]
}

fn pair_record() -> Vec<u8> {
    use ibak_sim::pairing::{Key, earlier_record, escrow_bag};
    let ios = ibak_sim::IosVersion::new(15, 6, 0);
    let identity = ibak_sim::Identity::draw(1, "Ada's iPhone", "iPhone14,5", ios, None);
    let key = Key::of_seed(1).unwrap();
    let record = earlier_record(&identity, &key, "BUID", &escrow_bag(1)).unwrap();
    xml(&Value::Dictionary(record))
}

pub fn pair_records() -> Vec<Vec<u8>> {
    let record = pair_record();
    let list: Value = plist::from_bytes(&record).unwrap();
    vec![record, binary(&list), b"InvalidHostID".to_vec()]
}
