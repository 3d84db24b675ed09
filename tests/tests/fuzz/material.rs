//! How an input becomes what is read: as it is, or as changes of a seed.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Below this first byte an input is taken as it is.
const RAW: u8 = 0x40;
/// Changes of a seed at most.
const EDITS_MAX: usize = 64;
/// Longest material.
const LEN_MAX: usize = 1 << 20;
/// Lengths, counts and offsets that are often wrong.
const EDGES: [u32; 12] = [
    0,
    1,
    4,
    0x7f,
    0xff,
    0x400,
    0x401,
    0xffff,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Makes material of an input: a choice, then four bytes a change.
pub fn material(input: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some((choice, rest)) = input.split_first() else {
        return Vec::new();
    };
    if *choice < RAW || seeds.is_empty() {
        return rest.to_vec();
    }
    let mut bytes = seeds[usize::from(*choice - RAW) % seeds.len()].clone();
    for edit in rest.chunks_exact(4).take(EDITS_MAX) {
        let [operation, high, low, value] = edit else {
            break;
        };
        let share = usize::from(u16::from_be_bytes([*high, *low]));
        let at = share * (bytes.len() + 1) / 65_536;
        change(&mut bytes, *operation, at, *value, seeds);
        bytes.truncate(LEN_MAX);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, operation: u8, at: usize, value: u8, seeds: &[Vec<u8>]) {
    let edge = EDGES[usize::from(value) % EDGES.len()];
    let overwrite = |bytes: &mut Vec<u8>, new: &[u8]| {
        for (place, byte) in bytes.iter_mut().skip(at).zip(new) {
            *place = *byte;
        }
    };
    match operation % 10 {
        0 => overwrite(bytes, &[value]),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (value % 8);
            }
        }
        2 => bytes.insert(at.min(bytes.len()), value),
        3 => {
            let end = (at + usize::from(value) + 1).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        4 => bytes.truncate(at),
        5 => overwrite(bytes, &edge.to_be_bytes()),
        6 => overwrite(bytes, &edge.to_le_bytes()),
        7 => overwrite(bytes, &[0, 0, 0, 0, 0, 0, 0, value]),
        8 => {
            let end = (at + usize::from(value)).min(bytes.len());
            let again = bytes[at.min(end)..end].to_vec();
            bytes.extend(again);
        }
        _ => {
            let other = &seeds[usize::from(value) % seeds.len()];
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at.min(other.len())));
        }
    }
}

/// Runs a target and fails when it took more memory than it may. One at a time: what the process
/// takes is measured.
pub fn within<T>(most: u64, bytes: &[u8], target: impl Fn(&[u8]) -> T) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Where the kernel does not let the mark be reset, it is one for all, and no lower.
    fs::write("/proc/self/clear_refs", "5").ok();
    let before = memory("VmRSS:");
    target(bytes);
    let took = memory("VmHWM:").saturating_sub(before);
    assert!(
        took <= most,
        "{} bytes took {took} bytes of memory",
        bytes.len()
    );
}

fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

#[test]
fn too_much_memory_is_seen() {
    let takes = |mib: usize| {
        std::panic::catch_unwind(|| within(64 << 20, b"x", |_| vec![1_u8; mib << 20].len()))
    };
    assert!(takes(1).is_ok());
    assert!(takes(300).is_err());
}

#[test]
fn changes_change_and_are_bounded() {
    let seeds = vec![(0..=255).collect::<Vec<u8>>(), vec![7; 1000]];
    assert!(material(&[], &seeds).is_empty());
    assert_eq!(material(b"\x01raw", &seeds), b"raw");
    assert_eq!(material(&[RAW], &seeds), seeds[0]);
    for operation in 0..10 {
        let changed = material(&[RAW, operation, 0x80, 0, 0x55], &seeds);
        assert_ne!(changed, seeds[0], "{operation}");
    }
    let twice = [8, 0, 0, 255].repeat(EDITS_MAX);
    assert!(material(&[&[RAW + 1][..], &twice].concat(), &seeds).len() <= LEN_MAX);
}
