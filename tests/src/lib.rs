//! Whole-system tests of ibak; see `tests/`.
