//! The main job, from the cable to the committed backup: the real daemon in this process, on a
//! real bus, with simulated phones and a clock that only the test moves.
//!
//! One module per question; `ibak_tests::night` is the house they all live in.

mod conditions;
mod generations;
mod losing;
mod machine;
mod passcode;
mod requests;
mod results;
mod settings;
mod several;
mod talking;
