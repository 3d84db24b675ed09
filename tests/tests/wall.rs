//! The wall of docs/security.md against the real daemon: paths, impostors, and every attack of the
//! simulator's hostile mode. Nothing here trusts the daemon's word: what it touched is told by the
//! file system, what it said is told by whoever heard it, what it used is told by the kernel.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines
)]

#[path = "wall/attacks.rs"]
mod attacks;
#[path = "wall/evil.rs"]
mod evil;
#[path = "wall/fence.rs"]
mod fence;
#[path = "wall/impostors.rs"]
mod impostors;
#[path = "wall/paths.rs"]
mod paths;
#[path = "wall/siege.rs"]
mod siege;
