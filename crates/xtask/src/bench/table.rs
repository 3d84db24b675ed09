//! The figures for people.

use super::figures::{Figures, Pair, Round, Run, StoreAlone, Workload};
use super::plan::Who;
use crate::say::Teller;

const LABEL: usize = 52;
const COLUMN: usize = 15;

/// Shows every figure next to the peer's; of several rounds the median.
pub(super) fn show(figures: &Figures, teller: Teller) {
    teller.part("Figures");
    teller.tell(&format!(
        "build: {}; {} processors, load {:.2} at the beginning and {:.2} at the end",
        figures.build, figures.begin.cores, figures.begin.load_1min, figures.end.load_1min,
    ));
    let (large, small) = (&figures.large, &figures.small);
    let title = format!(
        "{} files of {:.0} MiB, one of them large, in full",
        large.holds.files,
        mib(large.holds.bytes)
    );
    backup(
        teller,
        &title,
        &Side::all(large, |round| round.full),
        &|run| {
            let bytes = large.holds.bytes as f64 / 1e6;
            vec![
                ("MB/s", bytes / run.seconds),
                ("MB/s until it is on the disk", bytes / run.durable_seconds),
            ]
        },
    );
    let title = format!(
        "{} files of {:.0} MiB, in full",
        small.holds.files,
        mib(small.holds.bytes)
    );
    backup(
        teller,
        &title,
        &Side::all(small, |round| round.full),
        &|run| {
            let files = small.holds.files as f64;
            vec![
                ("files/s", files / run.seconds),
                (
                    "files/s until they are on the disk",
                    files / run.durable_seconds,
                ),
            ]
        },
    );
    let changed = Side::all(small, |round| round.changed);
    backup(teller, "The same again, a few changed", &changed, &|run| {
        vec![
            ("seconds", run.seconds),
            ("seconds until it is on the disk", run.durable_seconds),
        ]
    });
    store(teller, &small.rounds);
}

/// The runs of one kind, by either.
struct Side {
    ours: Vec<Run>,
    peer: Vec<Run>,
}

impl Side {
    fn all(workload: &Workload, kind: impl Fn(&Round) -> Pair) -> Self {
        let by = |who| {
            let runs = workload.rounds.iter();
            runs.filter_map(|round| kind(round).by(who)).collect()
        };
        Self {
            ours: by(Who::Ours),
            peer: by(Who::Peer),
        }
    }
}

type Named = Vec<(&'static str, f64)>;

fn backup(teller: Teller, title: &str, side: &Side, speed: &dyn Fn(&Run) -> Named) {
    let all = |run: &Run| {
        let mut named = speed(run);
        named.extend([
            ("processor seconds of the host", run.host_cpu_seconds),
            ("processor seconds of the phone", run.phone_cpu_seconds),
            ("peak memory of the host, MiB", mib(run.peak_rss_bytes)),
        ]);
        named
    };
    head(teller, title, Who::Peer.name());
    let (ours, peer) = (medians(&side.ours, all), medians(&side.peer, all));
    for ((label, ours), (_, peer)) in ours.into_iter().zip(peer) {
        line(teller, label, ours, peer);
    }
}

fn store(teller: Teller, rounds: &[Round]) {
    let alone: Vec<StoreAlone> = rounds.iter().filter_map(|round| round.store).collect();
    let named = medians(&alone, |store| {
        vec![
            ("clone", store.clone_seconds),
            ("cp", store.cp_seconds),
            ("both", store.clone_seconds + store.commit_seconds),
            ("cp on the disk", store.cp_durable_seconds),
        ]
    });
    let Some(files) = alone.first().map(|store| store.files) else {
        return;
    };
    head(teller, &format!("The store alone, {files} files"), "cp -al");
    if let [(_, clone), (_, cp), (_, both), (_, durable)] = named.as_slice() {
        line(teller, "seconds to clone", *clone, *cp);
        line(
            teller,
            "seconds to clone and commit, on the disk",
            *both,
            *durable,
        );
    }
}

fn head(teller: Teller, title: &str, peer: &str) {
    teller.tell(&format!(
        "\n{title:LABEL$}{:>COLUMN$}{peer:>COLUMN$}{:>COLUMN$}",
        "ibak", "ibak / other"
    ));
}

fn line(teller: Teller, label: &str, ours: f64, peer: f64) {
    teller.tell(&format!(
        "  {label:width$}{:>COLUMN$}{:>COLUMN$}{:>COLUMN$.2}",
        number(ours),
        number(peer),
        ours / peer,
        width = LABEL - 2,
    ));
}

fn number(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Returns the median of each named figure.
fn medians<T>(runs: &[T], named: impl Fn(&T) -> Named) -> Named {
    let mut columns: Vec<(&'static str, Vec<f64>)> = Vec::new();
    for run in runs {
        for (at, (label, value)) in named(run).into_iter().enumerate() {
            match columns.get_mut(at) {
                Some((_, values)) => values.push(value),
                None => columns.push((label, vec![value])),
            }
        }
    }
    columns
        .into_iter()
        .map(|(label, values)| (label, median(values)))
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let above = values.len() / 2;
    let below = values.len().saturating_sub(1) / 2;
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => f64::midpoint(*below, *above),
        (_, None) | (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_several_rounds_is_shown() {
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0]), 5.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        let both = medians(&[1.0, 2.0, 9.0], |run| vec![("a", *run), ("b", run * 10.0)]);
        assert_eq!(both, [("a", 2.0), ("b", 20.0)]);
        assert_eq!([number(1.234), number(1234.5)], ["1.23", "1234"]);
    }
}
