//! Looks at a property list before any parser does.
//!
//! Parsers expand shared references (202 bytes can become 2.3 GiB) and build and drop nested
//! values recursively (28 KB of brackets abort the process). Whatever a phone or a LAN peer
//! sends therefore passes here first: a strict subset of the binary and the XML form, walked
//! without recursion and without allocating more than the nesting depth. Accepted here means
//! bounded there; it does not mean well-typed. The old ASCII form is refused.
//!
//! Apple's own documents carry a document type line, so exactly one without an internal subset
//! is taken; entity declarations, comments, CDATA and processing instructions are not.

/// How large a property list may be, before and after expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest document, in bytes.
    pub bytes_max: usize,
    /// Deepest nesting; a list in a list is at depth 2.
    pub depth_max: usize,
    /// Most values and dictionary keys after shared references were expanded.
    pub nodes_max: usize,
    /// Most bytes of text and data after shared references were expanded.
    pub expanded_bytes_max: usize,
}

impl Limits {
    /// The limits of security.md for an ordinary message.
    pub const MESSAGE: Self = Self {
        bytes_max: 16 << 20,
        depth_max: 64,
        nodes_max: 200_000,
        expanded_bytes_max: 32 << 20,
    };
    /// The limits for replies that are known to be large.
    pub const LARGE: Self = Self {
        bytes_max: 64 << 20,
        expanded_bytes_max: 64 << 20,
        ..Self::MESSAGE
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::MESSAGE
    }
}

/// The two forms that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bplist00`.
    Binary,
    /// Apple's XML form, in UTF-8.
    Xml,
}

/// Says why a document must not reach a parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Longer than [`Limits::bytes_max`].
    #[error("the property list is {0} bytes long")]
    TooLong(usize),
    /// Nested deeper than [`Limits::depth_max`], or a collection that contains itself.
    #[error("the property list is nested too deeply")]
    TooDeep,
    /// More than [`Limits::nodes_max`] values.
    #[error("the property list has too many values")]
    TooManyNodes,
    /// More than [`Limits::expanded_bytes_max`] bytes of text and data.
    #[error("the property list expands to too many bytes")]
    TooManyBytes,
    /// Neither of the two forms.
    #[error("the document is not a binary or XML property list")]
    UnknownForm,
    /// The binary form breaks its own rules here.
    #[error("the binary property list is malformed: {0}")]
    Binary(&'static str),
    /// The XML form leaves the subset that is taken.
    #[error("the XML property list is refused: {0}")]
    Xml(&'static str),
}

/// Checks a whole document and says which form it has.
///
/// # Errors
/// A [`GuardError`] when the document is outside the limits or the strict subset.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<Kind, GuardError> {
    if bytes.len() > limits.bytes_max {
        return Err(GuardError::TooLong(bytes.len()));
    }
    if bytes.starts_with(b"bplist00") {
        binary::check(bytes, limits).map(|()| Kind::Binary)
    } else {
        xml::check(bytes, limits).map(|()| Kind::Xml)
    }
}

/// What is left of the limits during a walk.
struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    const fn new(limits: &Limits) -> Self {
        Self {
            nodes: limits.nodes_max,
            bytes: limits.expanded_bytes_max,
        }
    }

    fn nodes(&mut self, count: usize) -> Result<(), GuardError> {
        self.nodes = self
            .nodes
            .checked_sub(count)
            .ok_or(GuardError::TooManyNodes)?;
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<(), GuardError> {
        self.bytes = self
            .bytes
            .checked_sub(count)
            .ok_or(GuardError::TooManyBytes)?;
        Ok(())
    }
}

mod binary {
    use super::{Budget, GuardError, Limits};

    const MAGIC_LEN: usize = 8;
    const TRAILER_LEN: usize = 32;

    /// The trailer, checked: the offset table lies between the objects and the trailer.
    struct Table<'a> {
        bytes: &'a [u8],
        offset_size: usize,
        ref_size: usize,
        count: usize,
        root: usize,
        start: usize,
    }

    /// One object: its children, as a range of references, or nothing.
    struct Children {
        at: usize,
        left: usize,
    }

    pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<(), GuardError> {
        let table = Table::read(bytes, limits)?;
        let mut budget = Budget::new(limits);
        budget.nodes(1)?;
        let mut stack = Vec::with_capacity(8);
        let mut next = Some(table.root);
        while let Some(index) = next {
            let children = table.object(index, &mut budget)?;
            if let Some(children) = children {
                if stack.len() == limits.depth_max {
                    return Err(GuardError::TooDeep);
                }
                stack.push(children);
            }
            next = None;
            while let Some(top) = stack.last_mut() {
                if top.left > 0 {
                    next = Some(table.reference(top.at)?);
                    top.at += table.ref_size;
                    top.left -= 1;
                    break;
                }
                stack.pop();
            }
        }
        Ok(())
    }

    impl<'a> Table<'a> {
        fn read(bytes: &'a [u8], limits: &Limits) -> Result<Self, GuardError> {
            let trailer_at = bytes
                .len()
                .checked_sub(TRAILER_LEN)
                .filter(|at| *at > MAGIC_LEN)
                .ok_or(GuardError::Binary("it is too short"))?;
            let width = |at: usize| match bytes.get(trailer_at + at).copied() {
                Some(width @ (1 | 2 | 3 | 4 | 8)) => Ok(usize::from(width)),
                Some(_) | None => Err(GuardError::Binary("an integer width is not usual")),
            };
            let long = |at: usize| number(bytes, trailer_at + at, 8);
            let table = Self {
                bytes,
                offset_size: width(6)?,
                ref_size: width(7)?,
                count: long(8)?,
                root: long(16)?,
                start: long(24)?,
            };
            // Every object is a node at least once, so more objects than nodes is a bomb or junk.
            if table.count > limits.nodes_max {
                return Err(GuardError::TooManyNodes);
            }
            let end = table
                .count
                .checked_mul(table.offset_size)
                .and_then(|len| len.checked_add(table.start))
                .ok_or(GuardError::Binary("the offset table is too long"))?;
            if table.start < MAGIC_LEN || end > trailer_at {
                return Err(GuardError::Binary(
                    "the offset table is outside the document",
                ));
            }
            Ok(table)
        }

        fn reference(&self, at: usize) -> Result<usize, GuardError> {
            number(self.bytes, at, self.ref_size)
        }

        /// Charges one object (itself already counted) and its children, and returns these.
        fn object(
            &self,
            index: usize,
            budget: &mut Budget,
        ) -> Result<Option<Children>, GuardError> {
            if index >= self.count {
                return Err(GuardError::Binary(
                    "a reference leads outside the object table",
                ));
            }
            let at = number(
                self.bytes,
                self.start + index * self.offset_size,
                self.offset_size,
            )?;
            if at < MAGIC_LEN || at >= self.start {
                return Err(GuardError::Binary("an object lies outside the document"));
            }
            let marker = *self
                .bytes
                .get(at)
                .ok_or(GuardError::Binary("it is too short"))?;
            let (kind, low) = (marker >> 4, marker & 0x0f);
            match (kind, low) {
                (0x0, 0x8 | 0x9) => Ok(None),
                (0x1, 0..=4) => self.inside(at + 1, 1 << low, 1).map(|()| None),
                (0x2, 2 | 3) | (0x3, 3) => self.inside(at + 1, 1 << low, 1).map(|()| None),
                (0x8, 0..=7) => self.inside(at + 1, usize::from(low) + 1, 1).map(|()| None),
                (0x4 | 0x5, _) => {
                    let (start, len) = self.length(at, low)?;
                    self.inside(start, len, 1)?;
                    budget.bytes(len)?;
                    Ok(None)
                }
                (0x6, _) => {
                    let (start, units) = self.length(at, low)?;
                    self.inside(start, units, 2)?;
                    // A UTF-16 unit becomes three bytes of UTF-8 at most.
                    budget.bytes(units.saturating_mul(3))?;
                    Ok(None)
                }
                (0xa | 0xd, _) => {
                    let (start, len) = self.length(at, low)?;
                    let refs = if kind == 0xd { 2 } else { 1 };
                    self.inside(start, len, self.ref_size * refs)?;
                    budget.nodes(len * refs)?;
                    Ok(Some(Children {
                        at: start,
                        left: len * refs,
                    }))
                }
                _ => Err(GuardError::Binary("an object has an unknown type")),
            }
        }

        /// Reads the element count behind a marker: (where the elements start, how many).
        fn length(&self, at: usize, low: u8) -> Result<(usize, usize), GuardError> {
            if low != 0x0f {
                return Ok((at + 1, usize::from(low)));
            }
            match self.bytes.get(at + 1).copied() {
                Some(marker @ 0x10..=0x13) => {
                    let width = 1_usize << (marker & 0x03);
                    self.inside(at + 2, width, 1)?;
                    Ok((at + 2 + width, number(self.bytes, at + 2, width)?))
                }
                Some(_) | None => Err(GuardError::Binary("a length is not an integer")),
            }
        }

        fn inside(&self, start: usize, count: usize, size: usize) -> Result<(), GuardError> {
            let end = count
                .checked_mul(size)
                .and_then(|len| len.checked_add(start));
            if end.is_some_and(|end| end <= self.start) {
                Ok(())
            } else {
                Err(GuardError::Binary("an object reaches outside the document"))
            }
        }
    }

    fn number(bytes: &[u8], at: usize, width: usize) -> Result<usize, GuardError> {
        let digits = at
            .checked_add(width)
            .and_then(|end| bytes.get(at..end))
            .ok_or(GuardError::Binary("it is too short"))?;
        let value = digits
            .iter()
            .fold(0_u64, |value, digit| (value << 8) | u64::from(*digit));
        usize::try_from(value).map_err(|_| GuardError::Binary("a number is too large"))
    }
}

mod xml {
    use super::{Budget, GuardError, Limits};

    const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
    const LEAVES: [&str; 8] = [
        "key", "string", "integer", "real", "true", "false", "date", "data",
    ];

    pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<(), GuardError> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(GuardError::UnknownForm);
        };
        let text = text
            .strip_prefix('\u{feff}')
            .unwrap_or(text)
            .trim_matches(SPACE);
        let mut rest = prologue(text)?;
        let mut budget = Budget::new(limits);
        // Names of the open elements; `plist` itself is not a level.
        let mut open: Vec<&str> = Vec::with_capacity(8);
        loop {
            let (words, after) = rest
                .split_once('<')
                .ok_or(GuardError::Xml("an element is not closed"))?;
            budget.bytes(words.len())?;
            if open.last().is_none_or(|name| !LEAVES.contains(name))
                && !words.trim_matches(SPACE).is_empty()
            {
                return Err(GuardError::Xml("text stands between elements"));
            }
            let (tag, after) = after
                .split_once('>')
                .ok_or(GuardError::Xml("a tag is not closed"))?;
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name.trim_end_matches(SPACE)) {
                    return Err(GuardError::Xml("a closing tag does not match"));
                }
            } else if let Some(name) = tag.strip_suffix('/') {
                element(name.trim_end_matches(SPACE), &open, limits)?;
                budget.nodes(1)?;
            } else {
                open.push(element(tag.trim_end_matches(SPACE), &open, limits)?);
                budget.nodes(usize::from(open.len() > 1))?;
            }
            if open.is_empty() {
                return if rest.is_empty() {
                    Ok(())
                } else {
                    Err(GuardError::Xml("something follows the document"))
                };
            }
        }
    }

    /// Skips the XML declaration and the document type line.
    fn prologue(text: &str) -> Result<&str, GuardError> {
        let mut rest = text;
        if let Some(after) = rest.strip_prefix("<?xml ") {
            let (_, after) = after
                .split_once("?>")
                .ok_or(GuardError::Xml("its declaration is not closed"))?;
            rest = after.trim_start_matches(SPACE);
        }
        if let Some(after) = rest.strip_prefix("<!DOCTYPE plist ") {
            let (line, after) = after
                .split_once('>')
                .ok_or(GuardError::Xml("its document type is not closed"))?;
            if line.contains(['[', '<', '&', '%']) {
                return Err(GuardError::Xml("its document type declares something"));
            }
            rest = after.trim_start_matches(SPACE);
        }
        if rest.starts_with("<plist") {
            Ok(rest)
        } else if rest.starts_with('<') {
            Err(GuardError::Xml("its first element is not a plist"))
        } else {
            Err(GuardError::UnknownForm)
        }
    }

    /// Checks an opening tag against the elements around it and returns its name.
    fn element<'a>(tag: &'a str, open: &[&str], limits: &Limits) -> Result<&'a str, GuardError> {
        let name = match (open.is_empty(), tag.split_once(SPACE)) {
            // The one attribute there is; quotes keep a `>` from hiding in it.
            (true, Some(("plist", attribute)))
                if attribute.trim_matches(SPACE) == "version=\"1.0\"" =>
            {
                "plist"
            }
            (true, None) if tag == "plist" => tag,
            (false, None) if tag == "dict" || tag == "array" => tag,
            (false, None) if LEAVES.contains(&tag) => tag,
            _ => return Err(GuardError::Xml("an element is unknown here")),
        };
        if open.last().is_some_and(|parent| LEAVES.contains(parent)) {
            return Err(GuardError::Xml("a value stands inside a simple value"));
        }
        // `open` holds the plist and the collections around; a leaf adds no depth.
        if open.len() > limits.depth_max && !LEAVES.contains(&name) {
            return Err(GuardError::TooDeep);
        }
        Ok(name)
    }
}

#[cfg(test)]
#[path = "plist_guard_tests.rs"]
mod tests;
