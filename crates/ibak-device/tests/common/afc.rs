//! The phone's file service: the sync lock, and files that are what the test says.

use super::phone::Phone;
use ibak_device::Stream;
use std::collections::{BTreeMap, HashMap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MAGIC: u64 = 0x4141_504c_3641_4643;
const NOT_FOUND: u64 = 8;
const NO_SPACE: u64 = 18;
const WOULD_BLOCK: u64 = 19;

#[derive(Clone, Debug)]
pub enum Node {
    /// The names in it, as they go over the wire.
    Directory(Vec<Vec<u8>>),
    File(Vec<u8>),
    Link,
}

/// What the file service has, and does.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// By absolute path; files that are written appear here.
    pub nodes: BTreeMap<String, Node>,
    /// Every directory has a directory.
    pub bottomless: bool,
    /// Takes no more bytes after so many.
    pub room: Option<usize>,
    /// Says this size of every file.
    pub size: Option<u64>,
    /// Gives more bytes than it is asked for.
    pub generous: bool,
    /// Does not answer to this operation.
    pub mute_on: Option<u64>,
}

enum Reply {
    Status(u64),
    Opened(u64),
    Data(Vec<u8>),
}

#[derive(Default)]
struct Open {
    files: HashMap<u64, (String, usize)>,
    next: u64,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn path(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .expect("a path ends in a NUL");
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

impl Phone {
    pub(super) async fn afc(&self, mut stream: Box<dyn Stream>) -> std::io::Result<()> {
        let mut open = Open {
            next: 1,
            ..Open::default()
        };
        loop {
            let mut head = [0; 40];
            stream.read_exact(&mut head).await?;
            let mut rest = vec![0; (number(&head, 8) - 40) as usize];
            stream.read_exact(&mut rest).await?;
            if self.nature().files.mute_on == Some(number(&head, 32)) {
                continue;
            }
            let reply = self.file_operation(&mut open, number(&head, 32), &rest);
            let (operation, first, data) = match reply {
                Reply::Status(code) => (1, code.to_le_bytes().to_vec(), Vec::new()),
                Reply::Opened(handle) => (0x0e, handle.to_le_bytes().to_vec(), Vec::new()),
                Reply::Data(data) => (2, Vec::new(), data),
            };
            let head_len = 40 + first.len() as u64;
            let mut packet: Vec<u8> = [
                MAGIC,
                head_len + data.len() as u64,
                head_len,
                number(&head, 24),
                operation,
            ]
            .iter()
            .flat_map(|part| part.to_le_bytes())
            .collect();
            packet.extend(first);
            packet.extend(data);
            stream.write_all(&packet).await?;
            stream.flush().await?;
        }
    }

    fn file_operation(&self, open: &mut Open, operation: u64, rest: &[u8]) -> Reply {
        match operation {
            0x03 => self.names(&path(rest)),
            0x08 => {
                self.did(format!("afc remove {}", path(rest)));
                self.change(|nature| drop(nature.files.nodes.remove(&path(rest))));
                Reply::Status(0)
            }
            0x09 => {
                self.did(format!("afc mkdir {}", path(rest)));
                Reply::Status(0)
            }
            0x0a => self.info(&path(rest)),
            0x0d => self.open_file(open, number(rest, 0), path(&rest[8..])),
            0x0f => self.read(open, number(rest, 0), number(rest, 8) as usize),
            0x10 => self.write(open, number(rest, 0), &rest[8..]),
            0x11 => {
                assert_eq!(number(rest, 8), 0, "from the beginning");
                self.did(format!("afc seek {}", number(rest, 16)));
                open.files.get_mut(&number(rest, 0)).unwrap().1 = number(rest, 16) as usize;
                Reply::Status(0)
            }
            0x14 => {
                self.did("afc close");
                open.files.remove(&number(rest, 0)).expect("an open file");
                Reply::Status(0)
            }
            0x1b if rest[8] == 6 => {
                self.did("afc lock");
                let mut busy = false;
                self.change(|nature| {
                    busy = nature.lock_busy > 0;
                    nature.lock_busy = nature.lock_busy.saturating_sub(1);
                });
                Reply::Status(if busy { WOULD_BLOCK } else { 0 })
            }
            0x1b => {
                self.did("afc unlock");
                Reply::Status(0)
            }
            other => panic!("afc operation {other:#x}"),
        }
    }

    fn names(&self, path: &str) -> Reply {
        let files = self.nature().files;
        match files.nodes.get(path) {
            Some(Node::Directory(names)) => {
                let mut data = b".\0..\0".to_vec();
                for name in names {
                    data.extend_from_slice(name);
                    data.push(0);
                }
                Reply::Data(data)
            }
            _ if files.bottomless => Reply::Data(b"d\0".to_vec()),
            _ => Reply::Status(NOT_FOUND),
        }
    }

    fn info(&self, path: &str) -> Reply {
        let files = self.nature().files;
        let (kind, size) = match files.nodes.get(path) {
            Some(Node::Directory(_)) => ("S_IFDIR", 64),
            Some(Node::File(content)) => ("S_IFREG", content.len() as u64),
            Some(Node::Link) => ("S_IFLNK", 3),
            None if files.bottomless => ("S_IFDIR", 64),
            None => return Reply::Status(NOT_FOUND),
        };
        let size = files.size.unwrap_or(size);
        let facts = format!("st_size\0{size}\0st_ifmt\0{kind}\0st_mtime\05000000000\0");
        Reply::Data(facts.into_bytes())
    }

    fn open_file(&self, open: &mut Open, mode: u64, path: String) -> Reply {
        let is_there = matches!(self.nature().files.nodes.get(&path), Some(Node::File(_)));
        let is_lock = path == "/com.apple.itunes.lock_sync";
        if mode == 1 && !is_there {
            return Reply::Status(NOT_FOUND);
        }
        if mode == 3 {
            self.did(format!("afc write {path}"));
            self.change(|nature| {
                drop(
                    nature
                        .files
                        .nodes
                        .insert(path.clone(), Node::File(Vec::new())),
                )
            });
        } else if is_lock {
            self.did("afc open");
        } else {
            self.did(format!("afc read {path}"));
        }
        let handle = open.next;
        open.next += 1;
        open.files.insert(handle, (path, 0));
        Reply::Opened(handle)
    }

    fn read(&self, open: &mut Open, handle: u64, len: usize) -> Reply {
        let files = self.nature().files;
        let (path, at) = open.files.get_mut(&handle).unwrap();
        let Some(Node::File(content)) = files.nodes.get(path) else {
            panic!("no file {path}")
        };
        let start = (*at).min(content.len());
        let mut part = content[start..content.len().min(start + len)].to_vec();
        *at = start + part.len();
        if files.generous {
            part.resize(len + 1, 0);
        }
        Reply::Data(part)
    }

    fn write(&self, open: &mut Open, handle: u64, data: &[u8]) -> Reply {
        let (path, _) = open.files.get(&handle).unwrap();
        let mut code = 0;
        self.change(|nature| {
            let room = nature.files.room;
            let Some(Node::File(content)) = nature.files.nodes.get_mut(path) else {
                panic!("no file {path}")
            };
            if room.is_some_and(|room| content.len() + data.len() > room) {
                code = NO_SPACE;
            } else {
                content.extend_from_slice(data);
            }
        });
        Reply::Status(code)
    }
}
