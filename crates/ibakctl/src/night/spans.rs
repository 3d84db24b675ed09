//! Sets of moments: when something was so.

use ibak_dbus::Wall;

/// Times from one moment to another, in order, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(Wall, Wall)>);

impl Spans {
    /// Puts these together.
    pub fn of(spans: impl IntoIterator<Item = (Wall, Wall)>) -> Self {
        let mut sorted: Vec<_> = spans.into_iter().filter(|(a, b)| a < b).collect();
        sorted.sort_unstable();
        let mut joined: Vec<(Wall, Wall)> = Vec::new();
        for (from, until) in sorted {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        Self(joined)
    }

    /// Returns them.
    pub fn iter(&self) -> impl Iterator<Item = (Wall, Wall)> + '_ {
        self.0.iter().copied()
    }

    /// Counts the seconds in all.
    pub fn secs(&self) -> u64 {
        self.iter()
            .map(|(a, b)| b.saturating_since(a).as_secs())
            .sum()
    }

    /// Returns the longest; the first of several.
    pub fn longest(&self) -> Option<(Wall, Wall)> {
        let length = |(a, b): (Wall, Wall)| b.saturating_since(a);
        self.iter().rev_max(length)
    }

    /// Returns the first and the last moment.
    pub fn ends(&self) -> Option<(Wall, Wall)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// Returns when both were so.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let pairs = self.iter().flat_map(|(a, b)| {
            let cut = move |(c, d): (Wall, Wall)| (a.max(c), b.min(d));
            other.iter().map(cut)
        });
        Self::of(pairs)
    }

    /// Returns when this was so and the other was not.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = self.0.clone();
        for (from, until) in other.iter() {
            left = left
                .into_iter()
                .flat_map(|(a, b)| [(a, b.min(from)), (a.max(until), b)])
                .filter(|(a, b)| a < b)
                .collect();
        }
        Self::of(left)
    }

    /// Returns when either was so.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self::of(self.iter().chain(other.iter()))
    }

    /// Joins those with less than so many seconds between.
    #[must_use]
    pub fn joined(&self, secs: u64) -> Self {
        let mut joined: Vec<(Wall, Wall)> = Vec::new();
        for (from, until) in self.iter() {
            match joined.last_mut() {
                Some(last) if from.saturating_since(last.1).as_secs() < secs => last.1 = until,
                _ => joined.push((from, until)),
            }
        }
        Self(joined)
    }
}

/// The maximum, the first of several equal ones.
trait RevMax: Iterator + Sized {
    fn rev_max<K: Ord>(self, key: impl Fn(Self::Item) -> K) -> Option<Self::Item>
    where
        Self::Item: Copy,
    {
        self.fold(None, |best: Option<Self::Item>, item| match best {
            Some(best) if key(best) >= key(item) => Some(best),
            _ => Some(item),
        })
    }
}

impl<I: Iterator> RevMax for I {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(list: &[(i64, i64)]) -> Spans {
        Spans::of(
            list.iter()
                .map(|(a, b)| (Wall::from_secs(*a), Wall::from_secs(*b))),
        )
    }

    fn holds(spans: &Spans, at: i64) -> bool {
        let at = Wall::from_secs(at);
        spans.iter().any(|(a, b)| a <= at && at < b)
    }

    #[test]
    fn the_longest_and_the_joined() {
        let set = spans(&[(30, 40), (0, 10), (12, 14), (14, 16), (9, 9)]);
        assert_eq!(set, spans(&[(0, 10), (12, 16), (30, 40)]));
        assert_eq!(set.secs(), 24);
        assert_eq!(set.longest(), spans(&[(0, 10)]).ends());
        assert_eq!(set.joined(3), spans(&[(0, 16), (30, 40)]));
        assert_eq!(Spans::default().longest(), None);
    }

    proptest! {
        #[test]
        fn sets_are_sets(
            one in proptest::collection::vec((0_i64..50, 0_i64..50), 0..6),
            two in proptest::collection::vec((0_i64..50, 0_i64..50), 0..6),
        ) {
            let (a, b) = (spans(&one), spans(&two));
            for at in 0..50 {
                let (in_a, in_b) = (holds(&a, at), holds(&b, at));
                prop_assert_eq!(holds(&a.and(&b), at), in_a && in_b);
                prop_assert_eq!(holds(&a.minus(&b), at), in_a && !in_b);
                prop_assert_eq!(holds(&a.or(&b), at), in_a || in_b);
            }
            prop_assert_eq!(a.and(&b).secs() + a.minus(&b).secs(), a.secs());
        }
    }
}
