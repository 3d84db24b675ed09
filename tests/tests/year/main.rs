//! A year in a house with five phones, under each of three policies: the real daemon, the real
//! store and simulated phones on a clock that only the test moves, against a model of what should
//! happen that a person can read in five minutes ([`model`]).
//!
//! Whatever goes wrong in a house is an ordinary transition here: cables, walks, reboots, refusals,
//! a full disk, usbmuxd and the daemon restarting, a clock that is set. After every moment each
//! backup that ran, and how it ended, equals the model's. `RUN_SLOW_TESTS=1` lives 365 days,
//! otherwise it is ten; `IBAK_YEAR_SEED` takes another seed, `IBAK_YEAR_DAYS` another length.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod deeds;
mod figures;
mod house;
mod life;
mod model;
mod waiting;

use figures::Figures;
use house::House;
use ibak_tests::trouble::{Dice, say};
use model::{Kind, Rules};

const SEED: u64 = 0x1bac_0005;
const KINDS: [Kind; life::PHONES] = [Kind::Never, Kind::Open, Kind::Asks, Kind::Asks, Kind::Never];
const HOUR: i64 = 60;

/// The houses: their names, policies, the same in the words of the configuration, and the day on
/// which a short year begins: where the clocks are set forward, and back.
const HOUSES: [(&str, Rules, &str, u64); 3] = [
    (
        "cable",
        Rules {
            cable: true,
            lock_counts: true,
            due_after: 22 * HOUR,
            window: (0, 0),
            together: true,
        },
        "parallel_max = 5",
        0,
    ),
    (
        "wifi",
        Rules {
            cable: false,
            lock_counts: true,
            due_after: 22 * HOUR,
            window: (22 * HOUR, 8 * HOUR),
            together: true,
        },
        "parallel_max = 5\nwindow = \"22:00-08:00\"",
        121,
    ),
    (
        "seldom",
        Rules {
            cable: true,
            lock_counts: false,
            due_after: 66 * HOUR,
            window: (0, 0),
            together: false,
        },
        "parallel_max = 1\ninterval = \"3d\"",
        338,
    ),
];

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

async fn year(which: usize) {
    let days = number("IBAK_YEAR_DAYS", if ibak_tests::slow() { 365 } else { 10 });
    let seed = number("IBAK_YEAR_SEED", SEED);
    let (name, rules, keys, early) = HOUSES[which];
    let first = if days < 200 { early } else { 0 };
    let mut dice = Dice::new(seed);
    let mut house = House::begin(rules, KINDS, keys, first).await;
    let mut figures = Figures::default();
    for day in 0..days {
        for moment in life::day(&mut dice) {
            let number = i64::try_from(first + day).unwrap();
            house.live(number, &moment).await;
        }
        figures.look(day, days);
    }
    say(&format!(
        "year {name}: seed {seed:#x}, {days} days, ends {:?}, {figures}",
        house.ends
    ));
    figures.have_not_grown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_on_the_cable() {
    year(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_on_the_wifi() {
    year(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_backed_up_seldom_and_one_at_a_time() {
    year(2).await;
}
