//! cargo xtask: demo, test, bench, install, dist.

fn main() {}
