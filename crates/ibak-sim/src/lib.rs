//! A simulated iPhone that other people's clients believe.
