//! The backup tree: stage, verify, commit, recover, list.
