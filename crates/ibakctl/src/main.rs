//! The ibak command line: ask, render, exit code.

fn main() {}
