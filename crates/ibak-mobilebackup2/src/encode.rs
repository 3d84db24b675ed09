//! A writer of small binary property lists that leaves no copy of what it wrote.
//!
//! The requests may hold passwords. A general encoder copies strings into tables of its own and
//! frees them unwiped; this one writes into one buffer that is made large enough beforehand, so
//! that it never moves, and is wiped when it is dropped. It takes what requests need: text, yes or
//! no, dictionaries and lists, at most 255 objects in all.

use zeroize::Zeroizing;

/// A part of a request; it borrows its text.
pub(crate) enum Node<'a> {
    Text(&'a str),
    Bool(bool),
    Array(Vec<Node<'a>>),
    Dictionary(Vec<(&'a str, Node<'a>)>),
}

const MAGIC: &[u8; 8] = b"bplist00";
/// Length and references of a container, or the marker and length of a text, at most.
const OBJECT_OVERHEAD_BYTES: usize = 16;
const TRAILER_BYTES: usize = 32;
const OFFSET_BYTES: u8 = 4;

/// Encodes a list with its length in front, as DeviceLink frames it; `None` when it is too large.
pub(crate) fn frame(root: &Node<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let capacity = 4 + MAGIC.len() + root.bytes_max() + TRAILER_BYTES;
    let mut writer = Writer {
        out: Zeroizing::new(Vec::with_capacity(capacity)),
        offsets: Vec::new(),
    };
    writer.out.extend_from_slice(&[0; 4]);
    writer.out.extend_from_slice(MAGIC);
    writer.node(root)?;
    let Writer { mut out, offsets } = writer;
    let table = u64::try_from(out.len() - 4).ok()?;
    for offset in &offsets {
        out.extend_from_slice(&offset.to_be_bytes());
    }
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, OFFSET_BYTES, 1]);
    out.extend_from_slice(&u64::try_from(offsets.len()).ok()?.to_be_bytes());
    out.extend_from_slice(&0_u64.to_be_bytes());
    out.extend_from_slice(&table.to_be_bytes());
    let len = u32::try_from(out.len() - 4).ok()?;
    *out.first_chunk_mut()? = len.to_be_bytes();
    debug_assert!(out.capacity() == capacity, "the buffer moved");
    Some(out)
}

impl Node<'_> {
    /// Returns how many bytes it and its line in the offset table take at most.
    fn bytes_max(&self) -> usize {
        let own = OBJECT_OVERHEAD_BYTES + usize::from(OFFSET_BYTES);
        let text = |text: &str| own + 2 * text.len();
        own + match self {
            Self::Text(words) => text(words),
            Self::Bool(_) => 1,
            Self::Array(items) => items.iter().map(|item| 1 + item.bytes_max()).sum(),
            Self::Dictionary(pairs) => pairs
                .iter()
                .map(|(key, value)| 2 + text(key) + value.bytes_max())
                .sum(),
        }
    }
}

struct Writer {
    out: Zeroizing<Vec<u8>>,
    /// Where each object begins, counted from the magic.
    offsets: Vec<u32>,
}

impl Writer {
    fn begin(&mut self) -> Option<u8> {
        let id = u8::try_from(self.offsets.len())
            .ok()
            .filter(|id| *id < u8::MAX)?;
        self.offsets.push(u32::try_from(self.out.len() - 4).ok()?);
        Some(id)
    }

    /// Writes an object with what it holds, and returns its number.
    fn node(&mut self, node: &Node<'_>) -> Option<u8> {
        let id = self.begin()?;
        match node {
            Node::Bool(is) => self.out.push(if *is { 0x09 } else { 0x08 }),
            Node::Text(text) => self.text(text)?,
            Node::Array(items) => {
                let refs = self.container(0xa0, items.len(), items.len())?;
                for (index, item) in items.iter().enumerate() {
                    let child = self.node(item)?;
                    *self.out.get_mut(refs + index)? = child;
                }
            }
            Node::Dictionary(pairs) => {
                let refs = self.container(0xd0, pairs.len(), 2 * pairs.len())?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let child = self.node(&Node::Text(key))?;
                    *self.out.get_mut(refs + index)? = child;
                    let child = self.node(value)?;
                    *self.out.get_mut(refs + pairs.len() + index)? = child;
                }
            }
        }
        Some(id)
    }

    fn text(&mut self, text: &str) -> Option<()> {
        if text.is_ascii() {
            self.marker(0x50, text.len())?;
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.marker(0x60, text.encode_utf16().count())?;
            for unit in text.encode_utf16() {
                self.out.extend_from_slice(&unit.to_be_bytes());
            }
        }
        Some(())
    }

    /// Writes a container's head and leaves room for its references, whose place is returned.
    fn container(&mut self, kind: u8, count: usize, refs: usize) -> Option<usize> {
        self.marker(kind, count)?;
        let at = self.out.len();
        self.out.resize(at + refs, 0);
        Some(at)
    }

    fn marker(&mut self, kind: u8, count: usize) -> Option<()> {
        match u8::try_from(count) {
            Ok(small) if small < 15 => self.out.push(kind | small),
            Ok(_) | Err(_) => {
                self.out.extend_from_slice(&[kind | 0x0f, 0x12]);
                let count = u32::try_from(count).ok()?;
                self.out.extend_from_slice(&count.to_be_bytes());
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, frame};
    use ibak_core::plist_guard::{Kind, Limits, check};
    use plist::{Dictionary, Value};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn read(node: &Node<'_>) -> Value {
        let bytes = frame(node).unwrap();
        let (head, body) = bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(
            u32::from_be_bytes(*head),
            u32::try_from(body.len()).unwrap()
        );
        assert_eq!(check(body, &Limits::MESSAGE), Ok(Kind::Binary));
        Value::from_reader(Cursor::new(body)).unwrap()
    }

    #[test]
    fn more_objects_than_a_byte_counts_are_refused() {
        let list = |len| Node::Array((0..len).map(|_| Node::Bool(true)).collect());
        assert!(frame(&list(254)).is_some());
        assert!(frame(&list(255)).is_none());
    }

    proptest! {
        #[test]
        fn another_reader_finds_what_was_written(
            texts in proptest::collection::vec(any::<String>(), 0..20),
            long in ".{0,300}",
            is in any::<bool>(),
        ) {
            let items = || texts.iter().map(|text| Node::Text(text)).collect();
            let node = Node::Array(vec![
                Node::Text(&long),
                Node::Dictionary(vec![("list", Node::Array(items())), ("is", Node::Bool(is)), ("Paßwort", Node::Text(&long))]),
            ]);
            let list: Vec<Value> = texts.iter().map(|text| text.as_str().into()).collect();
            let want: Dictionary = [
                ("list".to_owned(), Value::Array(list)),
                ("is".to_owned(), is.into()),
                ("Paßwort".to_owned(), long.as_str().into()),
            ]
            .into_iter()
            .collect();
            prop_assert_eq!(read(&node), Value::Array(vec![long.as_str().into(), want.into()]));
        }
    }
}
