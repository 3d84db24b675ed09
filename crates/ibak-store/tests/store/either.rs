//! The verbs that a working copy and a served backup have in common.

use crate::device::at;
use ibak_core::BackupPath;
use ibak_store::fs::Fs;
use ibak_store::{Entry, Serving, Staging, StoreError};
use std::io::Read;

type Done = Result<(), StoreError>;

pub trait Verbs {
    fn list(&self, dir: &BackupPath) -> Result<Vec<Entry>, StoreError>;
    fn open(&self, path: &BackupPath) -> Result<Box<dyn Read + Send>, StoreError>;
    fn create_dir(&mut self, dir: &BackupPath) -> Done;
    fn create(&mut self, path: &BackupPath) -> Done;
    fn write(&mut self, block: &[u8]) -> Done;
    fn finish(&mut self) -> Done;
    fn abandon(&mut self) -> Done;
    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Done;
    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Done;
    fn remove(&mut self, path: &BackupPath) -> Done;

    fn send(&mut self, path: &BackupPath, content: &[u8]) -> Done {
        self.create(path)?;
        for block in content.chunks(7000) {
            self.write(block)?;
        }
        self.finish()
    }

    fn content(&self, path: &BackupPath) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(path).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

macro_rules! verbs {
    ($what:ident, |$it:ident| $finish:expr) => {
        impl<F: Fs> Verbs for $what<F> {
            fn list(&self, dir: &BackupPath) -> Result<Vec<Entry>, StoreError> {
                $what::list(self, dir)
            }
            fn open(&self, path: &BackupPath) -> Result<Box<dyn Read + Send>, StoreError> {
                $what::open(self, path)
            }
            fn create_dir(&mut self, dir: &BackupPath) -> Done {
                $what::create_dir(self, dir)
            }
            fn create(&mut self, path: &BackupPath) -> Done {
                $what::create(self, path)
            }
            fn write(&mut self, block: &[u8]) -> Done {
                $what::write(self, block)
            }
            fn finish(&mut self) -> Done {
                let $it = self;
                $finish
            }
            fn abandon(&mut self) -> Done {
                $what::abandon(self, Some("no"))
            }
            fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Done {
                $what::rename(self, from, to)
            }
            fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Done {
                $what::copy(self, from, to)
            }
            fn remove(&mut self, path: &BackupPath) -> Done {
                $what::remove(self, path)
            }
        }
    };
}

verbs!(Staging, |it| Staging::finish(it, at(1)));
verbs!(Serving, |it| Serving::finish(it));
