//! com.apple.afc: the media partition.
//!
//! A packet is a header of 40 bytes (`CFA6LPAA`, whole length, length without payload, number,
//! operation; little-endian) and a body. A status is 48 bytes (corpus, afc_lock.json).

mod purchases;
mod tree;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::hostile::Attack;
use crate::phone::{Phone, locked};
use crate::wire::BoxIo;

pub(crate) use purchases::plant;
pub(crate) use tree::Tree;
use tree::{Body, Wish};

const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_LEN: u64 = 40;
/// The longest packet the phone reads, in bytes.
const PACKET_LEN_MAX: u64 = 8 << 20;
/// The most one FileRead gives, in bytes.
const READ_MAX: u64 = 4 << 20;
const BLOCK_SIZE: u64 = 4096;

/// The numbers of AFC's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success = 0,
    ReadError = 4,
    UnknownPacket = 6,
    InvalidArgument = 7,
    ObjectNotFound = 8,
    ObjectIsDir = 9,
    PermissionDenied = 10,
    ObjectExists = 16,
    NoSpaceLeft = 18,
    WouldBlock = 19,
    DirectoryNotEmpty = 33,
}

/// The numbers of AFC's operations.
mod op {
    pub(super) const STATUS: u64 = 0x01;
    pub(super) const DATA: u64 = 0x02;
    pub(super) const READ_DIR: u64 = 0x03;
    pub(super) const TRUNCATE: u64 = 0x07;
    pub(super) const REMOVE: u64 = 0x08;
    pub(super) const MAKE_DIR: u64 = 0x09;
    pub(super) const FILE_INFO: u64 = 0x0a;
    pub(super) const DEVICE_INFO: u64 = 0x0b;
    pub(super) const OPEN: u64 = 0x0d;
    pub(super) const OPEN_RESULT: u64 = 0x0e;
    pub(super) const READ: u64 = 0x0f;
    pub(super) const WRITE: u64 = 0x10;
    pub(super) const SEEK: u64 = 0x11;
    pub(super) const TELL: u64 = 0x12;
    pub(super) const TELL_RESULT: u64 = 0x13;
    pub(super) const CLOSE: u64 = 0x14;
    pub(super) const SET_SIZE: u64 = 0x15;
    pub(super) const RENAME: u64 = 0x18;
    pub(super) const LOCK: u64 = 0x1b;
    pub(super) const LINK: u64 = 0x1c;
    pub(super) const SET_MODIFIED: u64 = 0x1e;
    pub(super) const REMOVE_CONTENTS: u64 = 0x22;
}

/// What goes back.
enum Answer {
    Done,
    /// After the header, counted in the length without payload.
    Number(u64, u64),
    /// As payload.
    Data(Vec<u8>),
}

struct Handle {
    path: String,
    at: u64,
    appends: bool,
    writes: bool,
}

struct Connection {
    phone: Arc<Phone>,
    id: u64,
    handles: HashMap<u64, Handle>,
    next: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        locked(&self.phone.afc).release(|(connection, _)| *connection == self.id);
    }
}

pub(super) async fn serve(mut stream: BoxIo, phone: Arc<Phone>) -> io::Result<()> {
    let id = locked(&phone.afc).connect();
    let mut connection = Connection {
        phone,
        id,
        handles: HashMap::new(),
        next: 1,
    };
    loop {
        let mut header = [0_u8; HEADER_LEN as usize];
        match stream.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [whole, _, number, operation] =
            [8, 16, 24, 32].map(|at| u64_at(&header, at).unwrap_or(0));
        if !header.starts_with(MAGIC) || !(HEADER_LEN..=PACKET_LEN_MAX).contains(&whole) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not an AFC packet",
            ));
        }
        let mut body = vec![0_u8; usize::try_from(whole - HEADER_LEN).map_err(io::Error::other)?];
        stream.read_exact(&mut body).await?;
        let wrong = connection.phone.attack().and_then(Attack::afc);
        if let Some(wrong) = wrong
            && matches!(operation, op::READ_DIR | op::FILE_INFO | op::READ)
        {
            wrong.script(number).act(stream).await;
            return Ok(());
        }
        let answer = connection.obey(operation, &body);
        stream.write_all(&packet(number, answer)).await?;
        stream.flush().await?;
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Status> {
    let slice = bytes.get(at..at + 8).ok_or(Status::InvalidArgument)?;
    slice
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| Status::InvalidArgument)
}

fn packet(number: u64, answer: Result<Answer, Status>) -> Vec<u8> {
    let (operation, inner, payload) = match answer {
        Ok(Answer::Done) => (
            op::STATUS,
            (Status::Success as u64).to_le_bytes().to_vec(),
            Vec::new(),
        ),
        Ok(Answer::Number(operation, value)) => {
            (operation, value.to_le_bytes().to_vec(), Vec::new())
        }
        Ok(Answer::Data(data)) => (op::DATA, Vec::new(), data),
        Err(status) => (
            op::STATUS,
            (status as u64).to_le_bytes().to_vec(),
            Vec::new(),
        ),
    };
    let short = HEADER_LEN + inner.len() as u64;
    let whole = short + payload.len() as u64;
    let mut bytes = MAGIC.to_vec();
    for field in [whole, short, number, operation] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(inner);
    bytes.extend(payload);
    bytes
}

/// Reads one path, or several with a NUL after each; none may leave the root.
fn paths(bytes: &[u8]) -> Result<Vec<String>, Status> {
    bytes
        .split(|byte| *byte == 0)
        .map(|part| {
            let text = std::str::from_utf8(part).map_err(|_| Status::InvalidArgument)?;
            let mut clean: Vec<&str> = Vec::new();
            for component in text.split('/') {
                match component {
                    "" | "." => {}
                    ".." => drop(clean.pop().ok_or(Status::PermissionDenied)?),
                    name => clean.push(name),
                }
            }
            Ok(clean.join("/"))
        })
        .collect()
}

fn path(bytes: &[u8]) -> Result<String, Status> {
    paths(bytes)?
        .into_iter()
        .next()
        .ok_or(Status::InvalidArgument)
}

fn strings(items: impl IntoIterator<Item = String>) -> Answer {
    Answer::Data(
        items
            .into_iter()
            .flat_map(|item| [item.as_bytes(), &[0]].concat())
            .collect(),
    )
}

impl Connection {
    fn obey(&mut self, operation: u64, body: &[u8]) -> Result<Answer, Status> {
        let phone = Arc::clone(&self.phone);
        let mut tree = locked(&phone.afc);
        let rest = |at: usize| body.get(at..).ok_or(Status::InvalidArgument);
        match operation {
            op::READ_DIR => {
                let names = tree.list(&path(body)?)?;
                return Ok(strings(
                    [".".to_owned(), "..".to_owned()].into_iter().chain(names),
                ));
            }
            op::FILE_INFO => return info(&tree, &path(body)?),
            op::DEVICE_INFO => return Ok(self.device_info()),
            op::OPEN => return self.open(&mut tree, u64_at(body, 0)?, &path(rest(8)?)?),
            op::READ => return self.read(&tree, u64_at(body, 0)?, u64_at(body, 8)?),
            op::TELL => {
                return Ok(Answer::Number(
                    op::TELL_RESULT,
                    self.handle(u64_at(body, 0)?)?.at,
                ));
            }
            op::WRITE => self.write(&mut tree, u64_at(body, 0)?, rest(8)?)?,
            op::SEEK => self.seek(
                &tree,
                u64_at(body, 0)?,
                u64_at(body, 8)?,
                u64_at(body, 16)?.cast_signed(),
            )?,
            op::CLOSE => {
                let number = u64_at(body, 0)?;
                self.handles
                    .remove(&number)
                    .ok_or(Status::InvalidArgument)?;
                tree.release(|owner| *owner == (self.id, number));
            }
            op::SET_SIZE => tree.set_len(&self.handle(u64_at(body, 0)?)?.path, u64_at(body, 8)?)?,
            op::TRUNCATE => tree.set_len(&path(rest(8)?)?, u64_at(body, 0)?)?,
            op::REMOVE => tree.remove(&path(body)?, false)?,
            op::REMOVE_CONTENTS => tree.remove(&path(body)?, true)?,
            op::MAKE_DIR => tree.make_dir(&path(body)?)?,
            op::RENAME => match paths(body)?.as_slice() {
                [from, to, ..] => tree.rename(from, to)?,
                [_] | [] => return Err(Status::InvalidArgument),
            },
            op::LINK => match paths(rest(8)?)?.as_slice() {
                [target, name, ..] => tree.link(target, name, u64_at(body, 0)? == 2)?,
                [_] | [] => return Err(Status::InvalidArgument),
            },
            op::SET_MODIFIED => tree.set_modified(&path(rest(8)?)?, u64_at(body, 0)?)?,
            op::LOCK => {
                let number = u64_at(body, 0)?;
                let wish = match u64_at(body, 8)? & !4 {
                    1 => Wish::Shared,
                    2 => Wish::Exclusive,
                    8 => Wish::Free,
                    _ => return Err(Status::InvalidArgument),
                };
                tree.lock(&self.handle(number)?.path, (self.id, number), wish)?;
            }
            _ => return Err(Status::UnknownPacket),
        }
        Ok(Answer::Done)
    }

    fn handle(&self, number: u64) -> Result<&Handle, Status> {
        self.handles.get(&number).ok_or(Status::InvalidArgument)
    }

    /// Modes: 1 r, 2 r+, 3 w, 4 w+, 5 a, 6 a+.
    fn open(&mut self, tree: &mut Tree, mode: u64, path: &str) -> Result<Answer, Status> {
        let (create, truncate) = match mode {
            1 => (false, false),
            2 | 5 | 6 => (true, false),
            3 | 4 => (true, true),
            _ => return Err(Status::InvalidArgument),
        };
        let path = tree.open(path, create, truncate)?;
        let number = self.next;
        self.next += 1;
        self.handles.insert(
            number,
            Handle {
                path,
                at: 0,
                appends: mode >= 5,
                writes: mode >= 2,
            },
        );
        Ok(Answer::Number(op::OPEN_RESULT, number))
    }

    fn read(&mut self, tree: &Tree, number: u64, len: u64) -> Result<Answer, Status> {
        let handle = self
            .handles
            .get_mut(&number)
            .ok_or(Status::InvalidArgument)?;
        let len = usize::try_from(len.min(READ_MAX)).unwrap_or(usize::MAX);
        let bytes = tree.read(&handle.path, handle.at, len)?;
        handle.at += bytes.len() as u64;
        Ok(Answer::Data(bytes))
    }

    fn write(&mut self, tree: &mut Tree, number: u64, data: &[u8]) -> Result<(), Status> {
        let handle = self
            .handles
            .get_mut(&number)
            .ok_or(Status::InvalidArgument)?;
        if !handle.writes {
            return Err(Status::PermissionDenied);
        }
        if handle.appends {
            handle.at = tree.bytes(&handle.path)?.len() as u64;
        }
        tree.write(&handle.path, handle.at, data)?;
        handle.at += data.len() as u64;
        Ok(())
    }

    fn seek(&mut self, tree: &Tree, number: u64, whence: u64, offset: i64) -> Result<(), Status> {
        let handle = self
            .handles
            .get_mut(&number)
            .ok_or(Status::InvalidArgument)?;
        let base = match whence {
            0 => 0,
            1 => handle.at,
            2 => tree.len(&handle.path)?,
            _ => return Err(Status::InvalidArgument),
        };
        handle.at = base
            .checked_add_signed(offset)
            .ok_or(Status::InvalidArgument)?;
        Ok(())
    }

    fn device_info(&self) -> Answer {
        let (used, disk) = self.phone.disk_usage();
        let pairs = [
            ("Model", self.phone.identity().product_type.clone()),
            ("FSTotalBytes", disk.to_string()),
            ("FSFreeBytes", (disk - used).to_string()),
            ("FSBlockSize", BLOCK_SIZE.to_string()),
        ];
        strings(
            pairs
                .into_iter()
                .flat_map(|(key, value)| [key.to_owned(), value]),
        )
    }
}

fn info(tree: &Tree, path: &str) -> Result<Answer, Status> {
    let node = tree.find(path)?;
    let nanos = |time: std::time::SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos()
    };
    let (kind, size, target) = match &node.body {
        Body::Directory => ("S_IFDIR", 64, None),
        Body::File(bytes) => ("S_IFREG", bytes.len() as u64, None),
        Body::Made { len, .. } => ("S_IFREG", *len, None),
        Body::Link(target) => ("S_IFLNK", target.len() as u64, Some(target.clone())),
    };
    let mut pairs = vec![
        ("st_size", size.to_string()),
        ("st_blocks", size.div_ceil(512).to_string()),
        ("st_nlink", "1".to_owned()),
        ("st_ifmt", kind.to_owned()),
        ("st_mtime", nanos(node.modified).to_string()),
        ("st_birthtime", nanos(node.born).to_string()),
    ];
    pairs.extend(target.map(|target| ("LinkTarget", target)));
    Ok(strings(
        pairs
            .into_iter()
            .flat_map(|(key, value)| [key.to_owned(), value]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_48_bytes_with_operation_1_and_its_code() {
        let bytes = packet(7, Err(Status::WouldBlock));
        assert_eq!(bytes.len(), 48);
        let fields = [8, 16, 24, 32, 40].map(|at| u64_at(&bytes, at).unwrap());
        assert_eq!(fields, [48, 48, 7, 1, 19]);
    }

    #[test]
    fn paths_stay_below_the_root() {
        assert_eq!(paths(b"/a/./b/../c\0/x\0").unwrap(), ["a/c", "x", ""]);
        assert_eq!(path(b"/"), Ok(String::new()));
        assert_eq!(path(b"/../etc"), Err(Status::PermissionDenied));
    }
}
