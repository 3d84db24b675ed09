//! The recycled buffers between the network and the vault's thread.
//!
//! Files arrive as a script of small steps with their bytes beside it, so that a thousand small
//! files cost one hop to the vault's thread, and so that no block is ever allocated.

use crate::Limits;
use ibak_core::BackupPath;

/// One step of receiving files.
#[derive(Debug)]
pub(crate) enum Step {
    /// Begin this file.
    Create(BackupPath),
    /// Append the next so many bytes of the batch's data.
    Write(usize),
    /// The file is whole.
    Finish,
    /// The file ended in an error of the phone's, with its text.
    Abandon(String),
}

/// A script with its data; both keep their capacity when they are used again.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    pub(crate) data: Vec<u8>,
}

impl Batch {
    const STEPS_MAX: usize = 1024;

    /// Makes an empty batch with room for [`Limits::BUFFER_BYTES`] of data.
    pub(crate) fn new() -> Self {
        Self {
            steps: Vec::with_capacity(Self::STEPS_MAX + 2),
            data: Vec::with_capacity(Limits::BUFFER_BYTES),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.data.clear();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.steps.len() >= Self::STEPS_MAX || self.room() == 0
    }

    /// Returns how many more bytes fit.
    pub(crate) fn room(&self) -> usize {
        Limits::BUFFER_BYTES - self.data.len()
    }

    /// Adds bytes of the current file, at most [`Batch::room`], joining them to a write before.
    pub(crate) fn append(&mut self, block: &[u8]) {
        self.data.extend_from_slice(block);
        if let Some(Step::Write(len)) = self.steps.last_mut() {
            *len += block.len();
        } else {
            self.steps.push(Step::Write(block.len()));
        }
    }
}
